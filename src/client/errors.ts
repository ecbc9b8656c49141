/** The errors of the SDK. */

/** Something was asked of a mission that its state does not allow: it is over, suspended, or this handle is an old one. */
export class MissionStateError extends Error {
  override readonly name = 'MissionStateError';
}

/** Callboard refuses the registration: trying again with the same options would not help. */
export class RegistrationError extends Error {
  override readonly name = 'RegistrationError';
  /** The HTTP status. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `fetch` fails with "fetch failed" and keeps the reason in `cause`. */
export const reasonOf = (error: unknown): string =>
  messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);

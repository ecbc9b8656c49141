/** The one error of the command line that is meant to be read by a person: a line, and the exit code that goes with it. */

/** Exit code of a command that was asked wrongly: an unknown command or flag, or a bad value. */
export const MISUSED = 2;
/** Exit code of a command that was asked rightly and could not do it. */
export const FAILED = 1;

/**
 * Ends the process with one line on stderr and no stack trace.
 *
 * @param exitCode `MISUSED` or `FAILED`.
 * @param message One line: what is wrong and what to do next. The name of the command is put in front of it.
 */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the operating system refused something: its code and the call are in the message. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

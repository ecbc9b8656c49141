/** What is answered to a dispatch: now, and, as the store has it, in an earlier run. */
import * as v from 'valibot';
import {
  type DispatchPayload,
  type DispatchResponse,
  dispatchResponseSchema,
  type ErrorBody,
  type ErrorCode,
  errorBodySchema,
  errorStatus,
} from '../contract/index.js';
import type { Found } from '../store/thread.js';

/** What the operator is told. */
export type DispatchAnswer =
  | { readonly status: 202; readonly body: DispatchResponse }
  | { readonly status: (typeof errorStatus)[ErrorCode]; readonly body: ErrorBody };

/** The A2A instance id that a dispatch filters by, under either of its names. */
export const wantedInstance = ({ executor_filter: filter = {} }: DispatchPayload): string | undefined =>
  filter.a2a_instance_id ?? filter.instance_id ?? undefined;

/**
 * The answer to a dispatch that was taken. It names the A2A instance that the dispatch names; else, where that filters by
 * one, its executor's.
 * @param a2aInstanceId the executor's, if it has one and is registered still
 */
export function assigned(
  payload: DispatchPayload,
  executorId: string,
  a2aInstanceId: string | undefined,
  estimatedStart?: string,
): DispatchAnswer {
  const wanted = wantedInstance(payload);
  const isPinned = (payload.executor_filter?.executor_id ?? undefined) !== undefined;
  const named = payload.a2a_instance_id ?? (wanted !== undefined && isPinned ? a2aInstanceId : wanted);
  const body: DispatchResponse = {
    mission_id: payload.mission_id,
    executor_id: executorId,
    ...(named !== undefined && { a2a_instance_id: named }),
    status: 'assigned',
    ...(estimatedStart !== undefined && { estimated_start: estimatedStart }),
  };
  return { status: 202, body };
}

export const refusal = (code: ErrorCode, detail: string): DispatchAnswer => ({
  status: errorStatus[code],
  body: { error: code, detail },
});

/** What was answered to a dispatch in an earlier run, or long ago; undefined if it was not. */
export function keptAnswerOf({ mission }: Found): DispatchAnswer | undefined {
  const kept = v.safeParse(v.union([dispatchResponseSchema, errorBodySchema]), mission.answer);
  if (!kept.success) return undefined;
  const body = kept.output;
  return 'error' in body ? { status: errorStatus[body.error], body } : { status: 202, body };
}

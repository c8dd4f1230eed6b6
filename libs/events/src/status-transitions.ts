/**
 * Which status may follow which, and after an explicit reactivation also. This table is the only source: the API judges by it, and the
 * function by which DB1 judges is generated from it (libs/databases/src/db1/lifecycle.sql.ts).
 *
 * - A status may always stay as it is, and a new subscription may begin with any.
 * - `canceled` and `expired` are ends: only a write that says `reactivate` leaves them.
 * - Raw SQL may set anything. What this table forbids is flagged in the change log, and replicated all the same.
 * - A status that is not in the table was set by raw SQL: any may follow it.
 */
export const STATUS_TRANSITIONS = {
  pending: { next: ['trialing', 'active', 'canceled', 'expired'], reactivated: [] },
  trialing: { next: ['active', 'past_due', 'paused', 'canceled', 'expired'], reactivated: [] },
  active: { next: ['past_due', 'paused', 'canceled', 'expired'], reactivated: [] },
  past_due: { next: ['active', 'paused', 'canceled', 'expired'], reactivated: [] },
  paused: { next: ['trialing', 'active', 'past_due', 'canceled', 'expired'], reactivated: [] },
  canceled: { next: [], reactivated: ['pending', 'trialing', 'active'] },
  expired: { next: [], reactivated: ['pending', 'trialing', 'active'] },
} as const satisfies Record<string, Transitions>;

interface Transitions {
  readonly next: readonly string[];
  readonly reactivated: readonly string[];
}

/** The statuses that the API takes. */
export type Status = keyof typeof STATUS_TRANSITIONS;
export const STATUSES = Object.keys(STATUS_TRANSITIONS) as Status[];

/** What may follow `status`, itself left out; every status where raw SQL has set one that the table does not know. */
export function allowedTransitions(status: string, reactivate: boolean): readonly Status[] {
  if (!isStatus(status)) return STATUSES;
  const { next, reactivated } = STATUS_TRANSITIONS[status];
  return reactivate ? [...next, ...reactivated] : next;
}

/** Why a status may not follow `from`: members of an `illegal-transition` problem. */
export interface IllegalTransition {
  readonly from: string;
  readonly allowed: readonly Status[];
  /** What a reactivation would also allow; left out where it would allow nothing more. */
  readonly allowed_by_reactivation?: readonly Status[];
}

export function illegalTransition(from: string, reactivate: boolean): IllegalTransition {
  const allowed = allowedTransitions(from, reactivate);
  const byReactivation = allowedTransitions(from, true).filter((next) => !allowed.includes(next));
  return { from, allowed, ...(byReactivation.length > 0 ? { allowed_by_reactivation: byReactivation } : {}) };
}

function isStatus(status: string): status is Status {
  return Object.hasOwn(STATUS_TRANSITIONS, status);
}

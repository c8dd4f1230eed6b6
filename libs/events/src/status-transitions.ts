/**
 * The statuses that may follow each status: in general (`next`), and in addition with an explicit reactivation (`reactivated`). This table
 * is the only source: the API checks writes against it, and the function with which DB1 checks them is generated from it
 * (libs/schema/src/db1/functions.ts).
 *
 * - A status may always stay the same, and a new subscription may have any status.
 * - `canceled` and `expired` are final: only a write with `reactivate` leaves them.
 * - Other programs' SQL may set any status. The change log marks a transition that this table forbids; it is replicated like any other.
 * - A status that is not in the table was set by another program's SQL: any status may follow it.
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

/** A status that the API accepts. */
export type Status = keyof typeof STATUS_TRANSITIONS;
export const STATUSES = Object.keys(STATUS_TRANSITIONS) as Status[];

/** Returns the statuses that may follow `status`, without `status` itself. All may follow a status that is not in the table. */
export function allowedTransitions(status: string, reactivate: boolean): readonly Status[] {
  if (!isStatus(status)) return STATUSES;
  const { next, reactivated } = STATUS_TRANSITIONS[status];
  return reactivate ? [...next, ...reactivated] : next;
}

/** The members of an `illegal-transition` problem: why a status may not follow `from`. */
export interface IllegalTransition {
  readonly from: string;
  readonly allowed: readonly Status[];
  /** Statuses that a reactivation would allow in addition; absent if there are none. */
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

/**
 * The statuses that may follow each status: in general (`next`), and in addition with an explicit reactivation (`reactivated`). Users may have
 * a table of their own (STATUS_TRANSITIONS_FILE), for which the same holds. The function with which DB1 checks writes is generated from it
 * (libs/schema/src/db1/functions.ts), and the API explains refusals by it.
 *
 * - A status may always stay the same, and a new subscription may have any status.
 * - A status without `next`, such as `canceled` and `expired`, is final: only a write with `reactivate` leaves it.
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
} as const satisfies StatusTransitions;

/** The statuses that may follow each status, by status. */
export type StatusTransitions = Readonly<Record<string, { readonly next: readonly string[]; readonly reactivated: readonly string[] }>>;

/** The built-in statuses. */
export const STATUSES = Object.keys(STATUS_TRANSITIONS) as (keyof typeof STATUS_TRANSITIONS)[];

/**
 * Returns the transitions that hold: `own` ones, else the built-in ones if the statuses are built in, else none. Without an entry, any status
 * may follow.
 */
export function transitionsFor(own: StatusTransitions | undefined, ownStatuses: readonly string[] | undefined): StatusTransitions {
  return own ?? (ownStatuses === undefined ? STATUS_TRANSITIONS : {});
}

/** Returns the statuses that may follow `status`, without `status` itself. All may follow a status that is not in the table. */
export function allowedTransitions(transitions: StatusTransitions, status: string, reactivate: boolean): readonly string[] {
  const entry = Object.hasOwn(transitions, status) ? transitions[status] : undefined;
  if (!entry) return Object.keys(transitions);
  const { next, reactivated } = entry;
  return reactivate ? [...next, ...reactivated] : next;
}

/** The members of an `illegal-transition` problem: why a status may not follow `from`. */
export interface IllegalTransition {
  readonly from: string;
  readonly allowed: readonly string[];
  /** Statuses that a reactivation would allow in addition; absent if there are none. */
  readonly allowed_by_reactivation?: readonly string[];
}

export function illegalTransition(transitions: StatusTransitions, from: string, reactivate: boolean): IllegalTransition {
  const allowed = allowedTransitions(transitions, from, reactivate);
  const byReactivation = allowedTransitions(transitions, from, true).filter((next) => !allowed.includes(next));
  return { from, allowed, ...(byReactivation.length > 0 ? { allowed_by_reactivation: byReactivation } : {}) };
}

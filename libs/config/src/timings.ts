/**
 * Every duration by which the service waits, retries, renews or gives up, in ms unless its name says otherwise. One frozen object, injected
 * by {@link TIMINGS}, so that a test can run a whole process with other durations.
 */
export interface Timings {
  readonly sync: SyncTimings;
}

/** Durations of libs/sync. */
export interface SyncTimings {
  /** A standby asks for the lease this often. */
  readonly standbyPollMs: number;
  /** The holder of the lease renews it this often. */
  readonly leaseRenewMs: number;
}

export const DEFAULT_TIMINGS: Timings = freeze({
  sync: { standbyPollMs: 1_000, leaseRenewMs: 2_000 },
});

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member as object);
  return Object.freeze(value);
}

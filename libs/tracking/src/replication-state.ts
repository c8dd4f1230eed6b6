/**
 * - `in_sync`: Database 2 is as Database 1 is.
 * - `in_flight`: Database 2 is to get it, and nothing is known to be in its way.
 * - `dead_lettered`: its record was put aside. Somebody has to look, or a newer change heals it.
 * - `drifted`: nothing is on its way any more, and the databases differ. Reconciliation repairs that.
 * - `unknown`: Database 2 is not known here, or does not answer.
 */
export const REPLICATION_STATES = ['in_sync', 'in_flight', 'dead_lettered', 'drifted', 'unknown'] as const;
export type ReplicationState = (typeof REPLICATION_STATES)[number];

/** An email in a database. */
export interface Side {
  /** 0: the change log does not know it. */
  readonly version: number;
  /** Whether there is a row; else it was deleted at that version. */
  readonly live: boolean;
  /** The row's values as text. */
  readonly content: string | null;
}

export interface ReplicationFacts {
  /** Undefined when the database knows nothing of the email. */
  readonly db1: Side | undefined;
  readonly db2: Side | undefined;
  /** Whether the change of DB1's version was put aside on its way. */
  readonly deadLettered: boolean;
  /** Whether everything that was on Kafka with it is applied, or a comparison of both databases has found it. */
  readonly passed: boolean;
}

/** DB2 is to be looked at before DB1: then DB2 has nothing that DB1 has not. */
export function replicationState({ db1, db2, deadLettered, passed }: ReplicationFacts): ReplicationState {
  if (!db1) return db2?.live ? 'drifted' : 'in_sync';
  const there = db2?.version ?? 0;
  if (db1.version > there) return deadLettered ? 'dead_lettered' : passed ? 'drifted' : 'in_flight';
  // Rows that were there before the log; each gets its first change soon.
  if (db1.version === 0) return 'in_flight';
  return there === db1.version && db1.live === db2?.live && db1.content === db2.content ? 'in_sync' : 'drifted';
}

import type { DataSource } from 'typeorm';

/** SQL about DB2's tables for other libraries, none of which names the tables. */

/** Name of the guarded table, for indexes that are built beside it. */
export const REPLICA_TABLE_NAME = 'replicated_subscriptions';

/** How far DB2 has applied one partition of a topic. */
export interface AppliedPosition {
  readonly partition: number;
  /** Offset of the last record that was applied. */
  readonly offset: number;
  /** The highest version, and when its change was made (RFC 3339; null if unknown). */
  readonly version: number;
  readonly version_time: string | null;
  /** Number of continuity gaps counted in this partition (apply-statement.ts). */
  readonly breaks: number;
  /** The first offset that was skipped; -1 for a topic that was created again, null without a gap. */
  readonly missing_from: number | null;
}

/** Returns the positions of those partitions of a topic of which DB2 has applied anything. */
export async function appliedPositions(db2: DataSource, topic: string): Promise<AppliedPosition[]> {
  return db2.query<AppliedPosition[]>(
    `SELECT partition, "offset", version, to_json(version_time) #>> '{}' AS version_time, breaks, missing_from FROM subscription_sync.positions WHERE topic = $1`,
    [topic],
  );
}

/** Corrects a stored position where it is still as it was read. */
export interface PositionCorrection {
  readonly partition: number;
  /** Number of gaps that are dealt with. */
  readonly breaks: number;
  /** The version to forget, or -1. */
  readonly version: number;
  readonly offset: number;
  readonly correctedOffset: number;
}

/** Corrects positions of a topic in one transaction. Gaps that were counted after the read, and positions that have advanced since, stay. */
export async function correctPositions(db2: DataSource, topic: string, corrections: readonly PositionCorrection[]): Promise<void> {
  await db2.transaction(async (manager) => {
    for (const { partition, breaks, version, offset, correctedOffset } of corrections) {
      await manager.query(
        `UPDATE subscription_sync.positions SET breaks = greatest(breaks - $3, 0), missing_from = CASE WHEN breaks > $3 THEN missing_from END,
           version = CASE WHEN version = $4 THEN 0 ELSE version END,
           "offset" = CASE WHEN "offset" = $5 THEN $6 ELSE "offset" END
         WHERE topic = $1 AND partition = $2`,
        [topic, partition, breaks, version, offset, correctedOffset],
      );
    }
  });
}

/** Whether DB2 has neither rows nor tombstones. */
export async function isReplicaEmpty(db2: DataSource): Promise<boolean> {
  const [found] = await db2.query<[{ empty: boolean }]>('SELECT NOT EXISTS (SELECT FROM replicated_subscriptions) AS empty');
  return found.empty;
}

/** SELECT of `columns` of DB2's rows `s`, tombstones included, whose emails are in the array $1. */
export function selectReplicaRows(columns: string): string {
  return `SELECT ${columns} FROM replicated_subscriptions s WHERE s.email = ANY ($1)`;
}

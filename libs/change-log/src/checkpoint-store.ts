import type { Client } from 'pg';
import { BEGINNING, formatSnapshot, parseSnapshot, type Snapshot } from './snapshot.js';

/** How far the log is published, as stored in DB1.subscription_sync.checkpoint. */
export interface StoredCheckpoint {
  readonly snapshot: Snapshot;
  /** Commits before this position in the WAL are published too. Undefined if no slot was left there. */
  readonly lsn: bigint | undefined;
}

/**
 * Reads the checkpoint. If DB1 has never been that far (it was restored, or the checkpoint comes from another server), returns the beginning:
 * replaying the whole log is always safe.
 */
export async function loadCheckpoint(client: Client): Promise<StoredCheckpoint | undefined> {
  const { rows } = await client.query<{ snapshot: string; lsn: string | null; ahead: boolean }>(`
    SELECT published_snapshot::text AS snapshot, (published_lsn - '0/0')::text AS lsn,
           pg_snapshot_xmax(published_snapshot) > pg_snapshot_xmax(pg_current_snapshot()) AS ahead
    FROM subscription_sync.checkpoint`);
  const row = rows[0];
  if (!row) return undefined;
  if (row.ahead) return { snapshot: BEGINNING, lsn: undefined };
  return { snapshot: parseSnapshot(row.snapshot), lsn: row.lsn === null ? undefined : BigInt(row.lsn) };
}

export async function storeCheckpoint(client: Client, { snapshot, lsn }: StoredCheckpoint): Promise<void> {
  await client.query(
    `INSERT INTO subscription_sync.checkpoint AS c (published_snapshot, published_lsn) VALUES ($1, '0/0'::pg_lsn + $2::numeric)
     ON CONFLICT (id) DO UPDATE SET published_snapshot = excluded.published_snapshot,
       published_lsn = coalesce(excluded.published_lsn, c.published_lsn), updated_at = clock_timestamp()`,
    [formatSnapshot(snapshot), lsn === undefined ? null : String(lsn)],
  );
}

/** Forgets the slot's position when the slot is dropped on purpose, so that its absence does not count as a loss. The log is then replayed from the snapshot. */
export async function clearCheckpointLsn(client: Client): Promise<void> {
  await client.query('UPDATE subscription_sync.checkpoint SET published_lsn = NULL WHERE published_lsn IS NOT NULL');
}

/**
 * `FROM … WHERE …` of the changes `l` that are committed and beyond the checkpoint, which means that they are not known to be on Kafka. Before
 * the first checkpoint these are all changes.
 */
export const BEYOND_CHECKPOINT = `
FROM subscription_sync.changes l, (
  SELECT published_snapshot AS snapshot FROM subscription_sync.checkpoint UNION ALL SELECT '1:1:'::pg_snapshot LIMIT 1
) c
WHERE l.txid >= pg_snapshot_xmin(c.snapshot) AND NOT pg_visible_in_snapshot(l.txid, c.snapshot)`;

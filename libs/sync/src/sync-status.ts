import { BEYOND_CHECKPOINT, SELECT_CHECKPOINT } from '#change-log';
import type { Query } from '#postgres';
import { HOLDS_LEASE, READER_NAME } from './leader-lease.js';

/** Maximum number of waiting changes that are counted: the exact number of very many does not matter, and counting costs DB1. */
export const MAX_COUNTED = 100_000;

/** Counts the changes of the log beyond the checkpoint whose versions are above $1, and tells the age (s) of the oldest. */
export const WAITING = `
SELECT count(*)::int AS changes, coalesce(extract(epoch FROM clock_timestamp() - min(occurred_at)), 0)::float8 AS seconds
FROM (
  SELECT l.occurred_at ${BEYOND_CHECKPOINT} AND l.version > $1
  LIMIT ${MAX_COUNTED}
) waiting`;

/** How far DB1 is captured and published, as DB1 itself tells. */
export interface SyncStatus {
  /** How a process captures at this moment; null while none does. */
  readonly captured_by: 'wal' | 'poll' | null;
  /** The replication slot; null when there is none, as with `poll`. */
  readonly slot: { readonly name: string; readonly active: boolean; readonly retained_bytes: number | null; readonly lost: boolean } | null;
  /** Changes that are not known to be on Kafka, counted up to 100,000, and the age (s) of the oldest. */
  readonly unpublished: { readonly changes: number; readonly seconds: number };
  /** When the position of what is published was stored last. */
  readonly checkpoint_at: string | null;
  /** Number of changes that Kafka has refused permanently. */
  readonly unpublishable: number;
}

interface Facts {
  readonly leased: boolean;
  readonly streaming: boolean;
  readonly checkpoint_at: string | null;
  readonly unpublishable: number;
}

const SELECT_FACTS = `
SELECT ${HOLDS_LEASE} AS leased,
  EXISTS (SELECT FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1 AND a.application_name = '${READER_NAME}') AS streaming,
  (SELECT to_json(c.updated_at) #>> '{}' FROM (${SELECT_CHECKPOINT}) c) AS checkpoint_at,
  (SELECT count(*)::int FROM subscription_sync.unpublishable_changes) AS unpublishable`;

const SELECT_SLOT = `
SELECT slot_name AS name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 AS retained_bytes,
  wal_status IS NOT DISTINCT FROM 'lost' AS lost
FROM pg_replication_slots WHERE slot_name = $1`;

/** Reads how far DB1 is captured and published. The position of what is published is stored twice a second: changes of that time count as unpublished. */
export async function readSyncStatus(query: Query, slot: string): Promise<SyncStatus> {
  const [facts] = await query<Facts>(SELECT_FACTS, [slot]);
  const [found] = await query<NonNullable<SyncStatus['slot']>>(SELECT_SLOT, [slot]);
  const [unpublished] = await query<SyncStatus['unpublished']>(WAITING, [0]);
  const { leased, streaming, checkpoint_at, unpublishable } = facts!;
  return {
    captured_by: leased ? (streaming ? 'wal' : 'poll') : null,
    slot: found ?? null,
    unpublished: unpublished!,
    checkpoint_at,
    unpublishable,
  };
}

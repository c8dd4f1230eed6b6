import type { Client } from 'pg';
import { READER_NAME } from './session.js';

/** The publication of the change log: inserts only, under the root's name whatever partition they go to. */
export const PUBLICATION = 'subscription_sync';

export interface Slot {
  /** What the slot's owner said it has; the server keeps the WAL from here on. */
  readonly confirmed: bigint;
  /** Why it can't be read from, if it can't. */
  readonly invalid: 'wal_removed' | 'idle_timeout' | 'invalidated' | undefined;
  /** The session that reads it. */
  readonly reader: number | undefined;
}

/** The slot of our name is another program's. */
export class SlotNotOursError extends Error {
  constructor(name: string, why: string) {
    super(`replication slot ${name} is another program's: ${why}. Set CAPTURE_SLOT to a name of its own`);
    this.name = 'SlotNotOursError';
  }
}

/** @returns the publication's identity, and whether it had to be made. */
export async function ensurePublication(client: Client): Promise<{ readonly oid: string; readonly made: boolean }> {
  const oid = await findPublication(client);
  if (oid !== undefined) return { oid, made: false };
  await client.query(
    `CREATE PUBLICATION ${PUBLICATION} FOR TABLE subscription_changes WITH (publish = 'insert', publish_via_partition_root = true)`,
  );
  return { oid: (await findPublication(client))!, made: true };
}

async function findPublication(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ oid: string }>('SELECT oid::text FROM pg_publication WHERE pubname = $1', [PUBLICATION]);
  return rows[0]?.oid;
}

/** @returns whether there was one. */
export async function dropPublication(client: Client): Promise<boolean> {
  const found = (await findPublication(client)) !== undefined;
  if (found) await client.query(`DROP PUBLICATION ${PUBLICATION}`);
  return found;
}

/** @throws SlotNotOursError when there is one of that name which can't be ours. */
export async function findSlot(client: Client, name: string): Promise<Slot | undefined> {
  const { rows } = await client.query<{
    confirmed: string | null;
    reader: number | null;
    plugin: string | null;
    database: string | null;
    here: boolean | null;
    lost: boolean;
    reason: string | null;
  }>(
    // to_jsonb: older servers have no such column.
    `SELECT (confirmed_flush_lsn - '0/0')::text AS confirmed, active_pid AS reader, plugin, database,
            database = current_database() AS here, wal_status IS NOT DISTINCT FROM 'lost' AS lost,
            to_jsonb(s) ->> 'invalidation_reason' AS reason
     FROM pg_replication_slots s WHERE slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (!row) return undefined;
  if (!row.here)
    throw new SlotNotOursError(name, row.database === null ? 'it is a physical one' : `it belongs to database ${row.database}`);
  if (row.plugin !== 'pgoutput') throw new SlotNotOursError(name, `its plugin is ${row.plugin}`);
  return { confirmed: BigInt(row.confirmed ?? 0), reader: row.reader ?? undefined, invalid: whyInvalid(row.lost, row.reason) };
}

function whyInvalid(lost: boolean, reason: string | null): Slot['invalid'] {
  if (!lost) return undefined;
  if (reason === null || reason === 'wal_removed') return 'wal_removed';
  return reason === 'idle_timeout' ? 'idle_timeout' : 'invalidated';
}

/**
 * Ends a session of ours that still uses the slot although the lease is not its any more: stopped, cut off, or too slow to go.
 * @returns whether there was one.
 * @throws SlotNotOursError when another program reads it.
 */
export async function evictReader(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ pid: number; program: string }>(
    `SELECT a.pid, a.application_name AS program FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
     WHERE s.slot_name = $1`,
    [name],
  );
  const reader = rows[0];
  if (!reader) return false;
  if (reader.program !== READER_NAME) {
    throw new SlotNotOursError(name, `${reader.program || 'a program without application_name'} (pid ${reader.pid}) reads it`);
  }
  await client.query('SELECT pg_terminate_backend($1, 5000)', [reader.pid]);
  return true;
}

/** Drops an idle slot. @returns whether there was one that could be dropped. */
export async function dropIdleSlot(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE slot_name = $1 AND database = current_database() AND plugin = 'pgoutput' AND NOT active`,
    [name],
  );
  return Boolean(rowCount);
}

import type { Client } from 'pg';

/** The publication of the change log: inserts only, under the root's name whatever partition they go to. */
export const PUBLICATION = 'subscription_sync';

export interface Slot {
  /** What the slot's owner said it has; the server keeps the WAL from here on. */
  readonly confirmed: bigint;
  /** Why it can't be read from, if it can't. */
  readonly unusable: string | undefined;
  readonly active: boolean;
}

export async function ensurePublication(client: Client): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_publication WHERE pubname = $1', [PUBLICATION]);
  if (rowCount) return;
  await client.query(
    `CREATE PUBLICATION ${PUBLICATION} FOR TABLE subscription_changes WITH (publish = 'insert', publish_via_partition_root = true)`,
  );
}

export async function findSlot(client: Client, name: string): Promise<Slot | undefined> {
  const { rows } = await client.query<{
    confirmed: string | null;
    active: boolean;
    plugin: string | null;
    database: string | null;
    wal_status: string | null;
    here: boolean;
  }>(
    `SELECT (confirmed_flush_lsn - '0/0')::text AS confirmed, active, plugin, database, wal_status, database = current_database() AS here
     FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (!row) return undefined;
  return { confirmed: BigInt(row.confirmed ?? 0), active: row.active, unusable: whyUnusable(row) };
}

function whyUnusable(row: {
  here: boolean;
  database: string | null;
  plugin: string | null;
  wal_status: string | null;
}): string | undefined {
  if (!row.here) return `it belongs to database ${row.database ?? '(none)'}; set CAPTURE_SLOT to another name`;
  if (row.plugin !== 'pgoutput') return `its plugin is ${row.plugin ?? '(none)'}; set CAPTURE_SLOT to another name`;
  if (row.wal_status === 'lost') return 'the server has removed WAL that it needs';
  return undefined;
}

export async function createSlot(client: Client, name: string): Promise<void> {
  await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name]);
}

/** Drops the slot if it is ours to drop: of this database, and read by nobody. */
export async function dropIdleSlot(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE slot_name = $1 AND database = current_database() AND NOT active`,
    [name],
  );
  return Boolean(rowCount);
}

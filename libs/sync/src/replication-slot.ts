import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import { CHANGE_LOG_TABLE, clearCheckpointLsn, loadCheckpoint, type StoredCheckpoint } from '#change-log';
import type { DatabaseSettings } from '#config';
import { clientOf, endClient, READER_NAME } from './leader-lease.js';

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
    `CREATE PUBLICATION ${PUBLICATION} FOR TABLE ${CHANGE_LOG_TABLE} WITH (publish = 'insert', publish_via_partition_root = true)`,
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
async function evictReader(client: Client, name: string): Promise<boolean> {
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
async function dropIdleSlot(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE slot_name = $1 AND database = current_database() AND plugin = 'pgoutput' AND NOT active`,
    [name],
  );
  return Boolean(rowCount);
}

/**
 * Makes a replication slot on a connection of its own. PostgreSQL waits there for all transactions that are open, however long
 * they stay open; the log can be read by SQL meanwhile.
 */
export class SlotMaker {
  /** Rejects with what PostgreSQL answers. A refusal comes at once, before the waiting. */
  readonly made: Promise<void>;
  isMade = false;
  readonly since = Date.now();
  private readonly client: Client;

  constructor(settings: DatabaseSettings, name: string) {
    this.client = clientOf(settings, READER_NAME, {}, {});
    // A broken connection fails the statement too.
    this.client.on('error', () => undefined);
    this.made = this.make(name);
    // Nobody may be waiting when it fails.
    this.made.catch(() => undefined);
  }

  /** Ends the making, too: PostgreSQL drops a slot that is not finished. */
  async close(): Promise<void> {
    await endClient(this.client);
  }

  private async make(name: string): Promise<void> {
    try {
      await this.client.connect();
      // Where the platform can't do it, a waiting backend outlives us, and the next holder of the lease ends it.
      await this.client.query('SET client_connection_check_interval = 1000').catch(() => undefined);
      await this.client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name]);
      this.isMade = true;
    } finally {
      await this.close();
    }
  }
}

/** Why the slot that we left can't be gone on with, and what a person should know. The names are stable: a metric has them. */
export const SLOT_PROBLEMS = {
  missing: 'is gone: dropped, or not on the new primary',
  wal_removed: 'is lost: the server has removed WAL that it needs (max_slot_wal_keep_size)',
  idle_timeout: 'is lost: nobody read it for idle_replication_slot_timeout',
  invalidated: 'is lost: the server has invalidated it',
  advanced: 'stands further than the checkpoint: somebody made it anew, or read it',
  publication_missing: 'misses what was written while its publication was dropped',
  not_ours: "is another program's, and left alone",
} as const;

export type SlotProblem = keyof typeof SLOT_PROBLEMS;

/** Undefined when the stream can go on, and where no slot was left: that is a first start. */
function slotHealth(slot: Slot | undefined, publicationMade: boolean, stored: StoredCheckpoint | undefined): SlotProblem | undefined {
  if (stored?.lsn === undefined) return undefined;
  if (!slot) return 'missing';
  if (slot.invalid) return slot.invalid;
  if (publicationMade) return 'publication_missing';
  return slot.confirmed > stored.lsn ? 'advanced' : undefined;
}

/**
 * Drops the slot on purpose, also from a reader of ours that was left behind: nobody will read it, and it would fill the disk.
 * One of another program is left alone.
 * @returns whether there was one.
 */
export async function dropSlot(client: Client, name: string): Promise<boolean> {
  try {
    await freeSlot(client, name);
  } catch (error) {
    if (error instanceof SlotNotOursError) return false;
    throw error;
  }
  // First, or a crash between the two would raise the alarm of a lost slot.
  await clearCheckpointLsn(client);
  return dropIdleSlot(client, name);
}

/** A refusal to make the slot comes within this, ms. */
const REFUSED_WITHIN_MS = 1_000;

export interface PreparedSlot {
  /** The publication's identity: another one means that it was dropped meanwhile. */
  readonly publication: string;
  /** When there was no slot to go on with. */
  readonly maker: SlotMaker | undefined;
}

/**
 * The slot that we left, free to be read; or a new one in the making. `onTrouble` is called when the one that we left can't be gone
 * on with.
 * @throws SlotNotOursError, and what PostgreSQL answers where a slot can't be made: see choose-capture.ts.
 */
export async function prepareSlot(
  client: Client,
  settings: DatabaseSettings,
  name: string,
  onTrouble: (trouble: SlotProblem) => void,
): Promise<PreparedSlot> {
  const { oid: publication, made } = await ensurePublication(client);
  const slot = await freeSlot(client, name);
  const trouble = slotHealth(slot, made, await loadCheckpoint(client));
  if (trouble !== undefined) {
    onTrouble(trouble);
    new Logger('capture').error(
      `Replication slot ${name} ${SLOT_PROBLEMS[trouble]}. The change log is replayed from the checkpoint; nothing is lost.`,
    );
  }
  // Before its publication was there a slot can't be decoded.
  if (slot && !slot.invalid && !made) return { publication, maker: undefined };
  if (slot) await dropIdleSlot(client, name);
  const maker = new SlotMaker(settings, name);
  await Promise.race([maker.made, delay(REFUSED_WITHIN_MS, undefined, { ref: false })]);
  return { publication, maker };
}

/** The slot, after whoever of ours was left there is gone. */
async function freeSlot(client: Client, name: string): Promise<Slot | undefined> {
  const slot = await findSlot(client, name);
  if (slot?.reader === undefined) return slot;
  if (await evictReader(client, name)) new Logger('capture').warn(`Ended a session that was left behind at replication slot ${name}`);
  return findSlot(client, name);
}

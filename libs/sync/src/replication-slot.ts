import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import { clearCheckpointLsn, loadCheckpoint, type StoredCheckpoint } from '#change-log';
import type { DatabaseSettings, SyncTimings } from '#config';
import { createClient, endClient, READER_NAME } from './leader-lease.js';

/** Publication of the change log: inserts only, under the root's name whatever partition they go to. */
export const PUBLICATION = 'subscription_sync';

/** Problems of the slot that the service left, each with its text for the operator. The names are labels of a metric: keep them. */
export const SLOT_PROBLEMS = {
  missing: 'is gone: dropped, or not on the new primary',
  wal_removed: 'is lost: the server has removed WAL that it needs (max_slot_wal_keep_size)',
  idle_timeout: 'is lost: no session read it for idle_replication_slot_timeout',
  invalidated: 'is lost: the server has invalidated it',
  advanced: 'is ahead of the checkpoint: another program created it again, or read it',
  publication_missing: 'misses what was written while its publication was dropped',
  not_ours: "is another program's, and left alone",
} as const;

export type SlotProblem = keyof typeof SLOT_PROBLEMS;

/** The slot of the configured name belongs to another program. */
export class SlotNotOursError extends Error {
  constructor(name: string, why: string) {
    super(`replication slot ${name} is another program's: ${why}. Set CAPTURE_SLOT to a name of its own`);
    this.name = 'SlotNotOursError';
  }
}

export interface PreparedSlot {
  /** Identity of the publication: if it differs later, the publication was dropped in between. */
  readonly publication: string;
  /** The creation of a new slot, if there was none that could be used. */
  readonly creation: SlotCreation | undefined;
}

/**
 * Returns the slot that the service left, free to be read, or the creation of a new one. `onSlotProblem` is called when the slot that was
 * left cannot be used.
 * @throws SlotNotOursError, and the error that PostgreSQL sends if a slot cannot be created (`isLogicalDecodingRefused`).
 */
export async function prepareSlot(
  client: Client,
  settings: DatabaseSettings,
  name: string,
  timings: SyncTimings,
  onSlotProblem: (problem: SlotProblem) => void,
): Promise<PreparedSlot> {
  const { oid: publication, created } = await ensurePublication(client);
  const slot = await freeSlot(client, name);
  const problem = checkSlotHealth(slot, created, await loadCheckpoint(client));
  if (problem !== undefined) {
    onSlotProblem(problem);
    new Logger('capture').error({
      code: 'slot-replaced',
      message: `Replication slot ${name} ${SLOT_PROBLEMS[problem]}. The change log is replayed from the checkpoint; nothing is lost.`,
    });
  }
  // A slot cannot decode what was written before its publication existed.
  if (slot && !slot.invalid && !created) return { publication, creation: undefined };
  if (slot) await dropIdleSlot(client, name);
  const creation = new SlotCreation(settings, name, timings);
  await Promise.race([creation.done, delay(timings.slotRefusalTimeoutMs, undefined, { ref: false })]);
  return { publication, creation };
}

/** Returns undefined if the stream can continue from the slot, and if no slot was left, as at the first start. */
function checkSlotHealth(
  slot: Slot | undefined,
  publicationCreated: boolean,
  stored: StoredCheckpoint | undefined,
): SlotProblem | undefined {
  if (stored?.lsn === undefined) return undefined;
  if (!slot) return 'missing';
  if (slot.invalid) return slot.invalid;
  if (publicationCreated) return 'publication_missing';
  return slot.confirmed > stored.lsn ? 'advanced' : undefined;
}

/**
 * Drops the slot on purpose, even if a session that was left behind still reads it: an unused slot would fill the disk. A slot of another
 * program is left alone.
 * @returns whether a slot was dropped.
 */
export async function dropSlot(client: Client, name: string): Promise<boolean> {
  try {
    await freeSlot(client, name);
  } catch (error) {
    if (error instanceof SlotNotOursError) return false;
    throw error;
  }
  // First, because a crash between the two would raise the alarm of a lost slot.
  await clearCheckpointLsn(client);
  return dropIdleSlot(client, name);
}

/**
 * Creates a replication slot on a connection of its own. PostgreSQL waits for all transactions that are open at that moment, however long
 * they stay open; the log can be read by SQL meanwhile.
 */
export class SlotCreation {
  /** Resolves when the slot exists. Rejects with the error that PostgreSQL sends; a refusal comes at once, before the wait. */
  readonly done: Promise<void>;
  isDone = false;
  private readonly client: Client;

  constructor(
    settings: DatabaseSettings,
    name: string,
    private readonly timings: SyncTimings,
  ) {
    this.client = createClient(settings, READER_NAME, timings);
    // A broken connection also fails the statement.
    this.client.on('error', () => undefined);
    this.done = this.create(name);
    // It may have no listener when it fails.
    this.done.catch(() => undefined);
  }

  /** Also ends the creation: PostgreSQL drops an unfinished slot. */
  async close(): Promise<void> {
    await endClient(this.client, this.timings);
  }

  private async create(name: string): Promise<void> {
    try {
      await this.client.connect();
      // On platforms without support for it, a waiting backend outlives this process, and the next holder of the lease ends it.
      await this.client.query('SET client_connection_check_interval = 1000').catch(() => undefined);
      await this.client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name]);
      this.isDone = true;
    } finally {
      await this.close();
    }
  }
}

export interface Slot {
  /** Position that the slot's reader has confirmed. The server keeps the WAL from here on. */
  readonly confirmed: bigint;
  /** Why the slot cannot be read, if it cannot. */
  readonly invalid: 'wal_removed' | 'idle_timeout' | 'invalidated' | undefined;
  /** Process ID of the session that reads it. */
  readonly reader: number | undefined;
}

/** Returns the slot. @throws SlotNotOursError if the slot of that name cannot be the service's. */
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
    // to_jsonb: older servers have no column invalidation_reason.
    `SELECT (confirmed_flush_lsn - '0/0')::text AS confirmed, active_pid AS reader, plugin, database,
            database = current_database() AS here, wal_status IS NOT DISTINCT FROM 'lost' AS lost,
            to_jsonb(s) ->> 'invalidation_reason' AS reason
     FROM pg_replication_slots s WHERE slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (!row) return undefined;
  if (!row.here) {
    throw new SlotNotOursError(name, row.database === null ? 'it is a physical one' : `it belongs to database ${row.database}`);
  }
  if (row.plugin !== 'pgoutput') throw new SlotNotOursError(name, `its plugin is ${row.plugin}`);
  return { confirmed: BigInt(row.confirmed ?? 0), reader: row.reader ?? undefined, invalid: invalidationOf(row.lost, row.reason) };
}

function invalidationOf(lost: boolean, reason: string | null): Slot['invalid'] {
  if (!lost) return undefined;
  if (reason === null || reason === 'wal_removed') return 'wal_removed';
  return reason === 'idle_timeout' ? 'idle_timeout' : 'invalidated';
}

/** Returns the slot after ending a session of the service that was left behind there. */
async function freeSlot(client: Client, name: string): Promise<Slot | undefined> {
  const slot = await findSlot(client, name);
  if (slot?.reader === undefined) return slot;
  if (await evictReader(client, name))
    new Logger('capture').warn({ code: 'slot-reader-ended', message: `Ended a session that was left behind at replication slot ${name}` });
  return findSlot(client, name);
}

/**
 * Ends a session of the service that still uses the slot although it has lost the lease: it was stopped, cut off, or too slow to end.
 * @returns whether there was such a session.
 * @throws SlotNotOursError if another program reads the slot.
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
export async function dropIdleSlot(client: Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE slot_name = $1 AND database = current_database() AND plugin = 'pgoutput' AND NOT active`,
    [name],
  );
  return Boolean(rowCount);
}

/** Creates the publication if it is missing. @returns its identity, and whether it was created. */
export async function ensurePublication(client: Client): Promise<{ readonly oid: string; readonly created: boolean }> {
  const oid = await findPublication(client);
  if (oid !== undefined) return { oid, created: false };
  await client.query('SELECT subscription_sync.create_publication()');
  return { oid: (await findPublication(client))!, created: true };
}

/** Drops the publication. @returns whether there was one. */
export async function dropPublication(client: Client): Promise<boolean> {
  const found = (await findPublication(client)) !== undefined;
  if (found) await client.query(`DROP PUBLICATION ${PUBLICATION}`);
  return found;
}

async function findPublication(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ oid: string }>('SELECT oid::text FROM pg_publication WHERE pubname = $1', [PUBLICATION]);
  return rows[0]?.oid;
}

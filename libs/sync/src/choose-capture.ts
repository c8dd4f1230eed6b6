import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import type { DatabaseSettings, Settings, SyncTimings } from '#config';
import { isLogicalDecodingRefused, type Query } from '#postgres';
import type { Capture } from './capture.js';
import { PollCapture } from './poll-capture.js';
import { dropSlot, SlotNotOursError, type SlotProblem } from './replication-slot.js';
import { WalCapture } from './wal-capture.js';

/**
 * Returns the capture that CAPTURE selects. With `auto` that is `wal` if the database allows it, otherwise `poll` with the reason, until
 * `wal` is tried again. With `poll` a slot left from `wal` is dropped, because an unused slot fills the disk. `onSlotProblem` is called when the slot that
 * was left cannot be used.
 * @throws Error when CAPTURE=wal and DB1 does not allow it, or DB1 is a standby.
 */
export async function chooseCapture(
  client: Client,
  db1: DatabaseSettings,
  settings: Settings['capture'],
  timings: SyncTimings,
  onSlotProblem: (problem: SlotProblem) => void,
): Promise<Capture> {
  const logger = new Logger('capture');
  await requirePrimary(client);
  let note: string | undefined;
  if (settings.mode !== 'poll') {
    const wal = new WalCapture(client, db1, settings.slot, timings);
    const refusal = await prepareWal(client, wal, onSlotProblem);
    if (refusal === undefined) return wal;
    if (settings.mode === 'wal') throw new Error(`CAPTURE=wal is not possible: ${refusal}. Or set CAPTURE=auto`);
    note = `wal is not possible: ${refusal}`;
    logger.warn({
      code: 'capture-by-poll',
      message: `Capturing by poll every ${settings.intervalMs} ms, because ${note}. It is checked again every ${timings.walRetryMs / 60_000} minutes.`,
    });
  }
  await dropUnusedSlot(client, settings.slot, logger);
  return new PollCapture(client, settings.intervalMs, timings, note);
}

/** Prepares the `wal` capture. @returns why it cannot be used, or undefined if it can. */
async function prepareWal(client: Client, wal: WalCapture, onSlotProblem: (problem: SlotProblem) => void): Promise<string | undefined> {
  const missing = await missingWalPrerequisite(client);
  if (missing !== undefined) return missing;
  try {
    await wal.prepare(onSlotProblem);
    return undefined;
  } catch (error) {
    await wal.close();
    if (!isRefusal(error)) throw error;
    if (error instanceof SlotNotOursError) onSlotProblem('not_ours');
    return error.message;
  }
}

/** Returns why DB1 does not allow the `wal` capture and what to do, in one sentence, or undefined if it does. */
async function missingWalPrerequisite(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ wal_level: string }>(`SELECT current_setting('wal_level') AS wal_level`);
  return walLevelProblem(rows[0]!.wal_level);
}

function walLevelProblem(level: string): string | undefined {
  return level === 'logical' ? undefined : `wal_level is ${level}: set wal_level = logical in postgresql.conf and restart PostgreSQL`;
}

interface CaptureFacts {
  readonly wal_level: string;
  readonly role: string;
  /** Whether the role may use slots: by its attribute, or as a member of the role that Amazon RDS has for that. */
  readonly replicates: boolean;
  readonly slot_exists: boolean;
  readonly free_slots: number;
  readonly free_senders: number;
}

const SELECT_CAPTURE_FACTS = `
SELECT current_setting('wal_level') AS wal_level, quote_ident(current_user) AS role,
  EXISTS (SELECT FROM pg_roles r WHERE (r.rolname = current_user AND (r.rolsuper OR r.rolreplication))
    OR (r.rolname = 'rds_replication' AND pg_has_role(r.oid, 'MEMBER'))) AS replicates,
  EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1) AS slot_exists,
  current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots) AS free_slots,
  current_setting('max_wal_senders')::int - (SELECT count(*)::int FROM pg_stat_replication) AS free_senders`;

/**
 * Returns what PostgreSQL would refuse the `wal` capture for, one sentence each with what to do. A capture that starts leaves most of it to
 * PostgreSQL, whose providers have rules of their own.
 */
export async function findCaptureProblems(query: Query, slot: string): Promise<string[]> {
  const [facts] = await query<CaptureFacts>(SELECT_CAPTURE_FACTS, [slot]);
  const { wal_level: level, role, replicates, slot_exists: slotExists, free_slots: freeSlots, free_senders: freeSenders } = facts!;
  return [
    walLevelProblem(level),
    replicates ? undefined : `the role ${role} may not replicate: ALTER ROLE ${role} REPLICATION`,
    slotExists || freeSlots > 0
      ? undefined
      : 'all replication slots are in use: raise max_replication_slots and restart PostgreSQL, or drop one',
    freeSenders > 0 ? undefined : 'all WAL senders are in use: raise max_wal_senders and restart PostgreSQL',
  ].filter((problem) => problem !== undefined);
}

/** Whether an error of the slot means that `wal` will not work until an operator changes something. */
function isRefusal(error: unknown): error is Error {
  return error instanceof SlotNotOursError || isLogicalDecodingRefused(error);
}

/** Drops the slot if possible. `poll` also works with the slot in place. */
async function dropUnusedSlot(client: Client, slot: string, logger: Logger): Promise<void> {
  try {
    if (await dropSlot(client, slot))
      logger.log({ code: 'slot-dropped', message: `Dropped replication slot ${slot}: poll does not need it` });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    logger.error({
      code: 'slot-not-dropped',
      message: `Replication slot ${slot} keeps WAL on DB1's disk, and cannot be dropped: ${error.message}. Drop it.`,
    });
  }
}

async function requirePrimary(client: Client): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
  if (rows[0]!.standby) throw new Error('DB1_HOST is a standby: writes and capture need the primary');
}

import { Logger } from '@nestjs/common';
import type { Client } from 'pg';
import type { DatabaseSettings, Settings } from '#config';
import { isLogicalDecodingRefused } from '#postgres';
import type { Capture } from './capture.js';
import { PollCapture } from './poll-capture.js';
import { dropSlot, SlotNotOursError, type SlotProblem } from './replication-slot.js';
import { WalCapture } from './wal-capture.js';

/** With CAPTURE=auto, what stood in the way of `wal` is looked at again so often, ms. */
const RETRY_WAL_MS = 300_000;

/**
 * The capture that CAPTURE asks for; with `auto`, `wal` where the database allows it, and else `poll` for a while, saying why. With
 * `poll` a slot left from `wal` goes, because an unused slot fills the disk. `onTrouble`: the slot that we left can't be used.
 * @throws Error when CAPTURE=wal and DB1 does not allow it, or DB1 is a standby.
 */
export async function chooseCapture(
  client: Client,
  db1: DatabaseSettings,
  settings: Settings['capture'],
  onTrouble: (trouble: SlotProblem) => void,
): Promise<Capture> {
  const logger = new Logger('capture');
  await requirePrimary(client);
  let note: string | undefined;
  if (settings.mode !== 'poll') {
    const wal = new WalCapture(client, db1, settings.slot);
    const refusal = await refusalOfWal(client, wal, onTrouble);
    if (refusal === undefined) return wal;
    if (settings.mode === 'wal') throw new Error(`CAPTURE=wal is not possible: ${refusal}. Or set CAPTURE=auto`);
    note = `wal is not possible: ${refusal}`;
    logger.warn(
      `Capturing by poll every ${settings.intervalMs} ms, because ${note}. It is looked at again every ${RETRY_WAL_MS / 60_000} minutes.`,
    );
  }
  await dropLeftSlot(client, settings.slot, logger);
  return new PollCapture(client, settings.intervalMs, note, note === undefined ? undefined : RETRY_WAL_MS);
}

/** Poll works with the slot there, too. */
async function dropLeftSlot(client: Client, slot: string, logger: Logger): Promise<void> {
  try {
    if (await dropSlot(client, slot)) logger.log(`Dropped replication slot ${slot}: poll does not need it`);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    logger.error(`Replication slot ${slot} keeps WAL on DB1's disk, and can't be dropped: ${(error as Error).message}. Drop it.`);
  }
}

async function requirePrimary(client: Client): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
  if (rows[0]!.standby) throw new Error('DB1_HOST is a standby: writes and capture need the primary');
}

async function refusalOfWal(client: Client, wal: WalCapture, onTrouble: (trouble: SlotProblem) => void): Promise<string | undefined> {
  const reason = await missingWalPrerequisite(client);
  if (reason !== undefined) return reason;
  try {
    await wal.prepare(onTrouble);
    return undefined;
  } catch (error) {
    await wal.close();
    if (!isRefusal(error)) throw error;
    if (error instanceof SlotNotOursError) onTrouble('not_ours');
    return (error as Error).message;
  }
}

/** Why DB1 does not allow the `wal` capture, in one sentence with what to do; undefined when it does. */
async function missingWalPrerequisite(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ wal_level: string }>(`SELECT current_setting('wal_level') AS wal_level`);
  const { wal_level: level } = rows[0]!;
  return level === 'logical' ? undefined : `wal_level is ${level}: set wal_level = logical in postgresql.conf and restart PostgreSQL`;
}

/** Whether the error of preparing the slot means that `wal` won't work here before somebody changes something. */
function isRefusal(error: unknown): boolean {
  return error instanceof SlotNotOursError || isLogicalDecodingRefused(error);
}

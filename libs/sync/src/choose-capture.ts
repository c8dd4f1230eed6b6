import { Logger } from '@nestjs/common';
import type { DatabaseSettings, Settings } from '#config';
import type { Client } from 'pg';
import type { Capture } from './capture.js';
import { PollCapture } from './poll-capture.js';
import { dropIdleSlot } from './slot.js';
import { WalCapture } from './wal-capture.js';
import { isRefusal, whyNoWal } from './why-no-wal.js';

/**
 * The capture that CAPTURE asks for; with `auto`, `wal` where the database allows it, and else `poll`, saying why. With `poll` a
 * slot left from `wal` goes, because an unused slot fills the disk.
 * @throws Error when CAPTURE=wal and DB1 does not allow it.
 */
export async function chooseCapture(client: Client, db1: DatabaseSettings, settings: Settings['capture']): Promise<Capture> {
  const logger = new Logger('capture');
  if (settings.mode !== 'poll') {
    const wal = new WalCapture(client, db1, settings.slot);
    const refusal = await refusalOfWal(client, wal);
    if (refusal === undefined) return wal;
    if (settings.mode === 'wal') throw new Error(`CAPTURE=wal is not possible: ${refusal}. Or set CAPTURE=auto.`);
    logger.warn(`Capturing by poll every ${settings.intervalMs} ms, because wal is not possible: ${refusal}`);
  }
  if (await dropIdleSlot(client, settings.slot)) logger.log(`Dropped replication slot ${settings.slot}: poll does not need it`);
  return new PollCapture(client, settings.intervalMs);
}

async function refusalOfWal(client: Client, wal: WalCapture): Promise<string | undefined> {
  const reason = await whyNoWal(client);
  if (reason !== undefined) return reason;
  try {
    await wal.prepare();
    return undefined;
  } catch (error) {
    if (isRefusal(error)) return (error as Error).message;
    throw error;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { makePartitionsAhead, pruneLog } from '#databases';
import type { DataSource } from 'typeorm';

const EVERY_MS = 3_600_000;
const RETRY_MS = 60_000;

/** Keeps the change log's partitions ahead of time and within the retention, until `signal` aborts. Run by the lease's holder. */
export async function keepLog(db1: DataSource, retentionDays: number, signal: AbortSignal): Promise<void> {
  const logger = new Logger('change-log');
  while (!signal.aborted) {
    let pause = EVERY_MS;
    try {
      const now = new Date();
      await makePartitionsAhead(db1, now);
      const dropped = await pruneLog(db1, now, retentionDays);
      if (dropped.length > 0) logger.log(`Dropped ${dropped.join(', ')}: older than ${retentionDays} days and published`);
    } catch (error) {
      logger.warn(`Partitions of the change log were not maintained: ${(error as Error).message}. Trying again in ${RETRY_MS / 1_000} s.`);
      pause = RETRY_MS;
    }
    await delay(pause, undefined, { signal }).catch(() => undefined);
  }
}

import type { DataSource, EntityManager } from 'typeorm';
import type { BoundedClient } from './bounded-client.js';

/** Longest statement of upkeep, ms: rewriting a large table that was adopted, or waiting for the lock of another program's. */
const UPKEEP_MS = 3_600_000;

/**
 * Runs `work` on one connection whose statements may take an hour each: migrations and upkeep, which are slow where tables are
 * large, and for which nobody waits.
 */
export async function withoutHurry<T>(dataSource: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    const client = (await runner.connect()) as BoundedClient;
    await runner.query(`SET statement_timeout = ${UPKEEP_MS}`);
    return await client.within(UPKEEP_MS, () => work(runner.manager));
  } finally {
    if (!runner.isReleased) await runner.query('RESET statement_timeout').catch(() => undefined);
    await runner.release();
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { Ours } from '../pipeline/ours.js';
import type { Servers } from '../servers.js';
import { finishedIn } from './runs.js';
import { fill, log } from './tables.js';

/** An empty Database 2 gets all rows of Database 1, until both are compared and equal: capture and replica are two processes. */
export async function backfill(parts: Servers, rows: number): Promise<void> {
  const ours = await Ours.prepare('backfill', ['api,sync', 'replica'], 'wal', parts, { RECONCILE_INTERVAL: '0' });
  const { db1, db2 } = ours;
  await fill(db1, db2, rows);
  await log(db1);
  await ours.start();
  // The log's rows take the stream first.
  await seen(db2, rows);
  await bring('backfill of an empty Database 2     ', {});
  await bring('the same, published on the topic    ', { publish: true });
  console.log(`peak memory of its processes         ${ours.usage().memory.join(' + ')} MB`);
  await ours.close();

  async function bring(what: string, task: object): Promise<void> {
    await db2.query('TRUNCATE replicated_subscriptions');
    const { cpu } = ours.usage();
    const seconds = await finishedIn(ours, 'resyncs', task, 'resynced');
    const spent = ((ours.usage().cpu - cpu) / rows) * 1e6;
    console.log(`${what} ${Math.round(rows / seconds)} rows/s end to end, ${spent.toFixed(0)} µs CPU a row`);
  }
}

async function seen(db2: Pool, version: number): Promise<void> {
  for (;;) {
    const { rows } = await db2.query<{ version: string | null }>('SELECT max(version) AS version FROM replica_positions');
    if (Number(rows[0]!.version) >= version) return;
    await delay(100);
  }
}

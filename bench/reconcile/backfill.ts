import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { ServicePipeline } from '../pipeline/service-pipeline.js';
import type { Servers } from '../servers.js';
import { finishedIn } from './runs.js';
import { fill, log } from './tables.js';

/** Backfills an empty Database 2 with all rows of Database 1, until both are compared and equal. Capture and replica are two processes. */
export async function backfill(parts: Servers, rows: number): Promise<void> {
  const pipeline = await ServicePipeline.prepare('backfill', ['api,sync', 'replica'], 'wal', parts, { RECONCILE_INTERVAL: '0' });
  const { db1, db2 } = pipeline;
  await fill(db1, db2, rows);
  await log(db1);
  await pipeline.start();
  // The stream first delivers the rows of the log.
  await untilApplied(db2, rows);
  await measure('backfill of an empty Database 2     ', {});
  await measure('the same, published on the topic    ', { publish: true });
  console.log(`peak memory of its processes         ${pipeline.usage().memory.join(' + ')} MB`);
  await pipeline.close();

  async function measure(label: string, request: object): Promise<void> {
    await db2.query('TRUNCATE subscriptions, subscription_sync.applied');
    const { cpu } = pipeline.usage();
    const seconds = await finishedIn(pipeline, 'resyncs', request, 'resynced');
    const spent = ((pipeline.usage().cpu - cpu) / rows) * 1e6;
    console.log(`${label} ${Math.round(rows / seconds)} rows/s end to end, ${spent.toFixed(0)} µs CPU per row`);
  }
}

/** Waits until the replica has read `records` of the topic. */
async function untilApplied(db2: Pool, records: number): Promise<void> {
  for (;;) {
    const { rows } = await db2.query<{ applied: number | null }>(
      'SELECT sum("offset" + 1)::int AS applied FROM subscription_sync.positions',
    );
    if (rows[0]!.applied! >= records) return;
    await delay(100);
  }
}

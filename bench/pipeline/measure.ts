import { setTimeout as delay } from 'node:timers/promises';
import type { Servers } from '../servers.js';
import type { Pipeline } from './pipeline.js';
import { measureProcessorTime, type ProcessorTime } from './processor-time.js';
import { percentile } from './statistics.js';
import { waitForFirst, waitUntilEqual } from './tables.js';

const ROWS_PER_TRANSACTION = 1_000;
const SPACING_MS = 20;
/** Timeout (ms) for one change to arrive. */
const ARRIVAL_TIMEOUT_MS = 60_000;

/** A rate of changes that a pipeline carried, with the CPU time that they took. */
export interface Carried {
  /** Changes a second. */
  readonly rate: number;
  readonly processorTime: ProcessorTime;
}

/** Calls `write` for all rows, a transaction at a time. */
export async function inTransactions(rows: number, write: (from: number, to: number) => Promise<void>): Promise<void> {
  for (let from = 1; from <= rows; from += ROWS_PER_TRANSACTION) await write(from, Math.min(rows, from + ROWS_PER_TRANSACTION - 1));
}

/** Starts a pipeline after `rows` were inserted. Measures from the first row seen in DB2 to the last, so that its start does not count. */
export async function catchUp(pipeline: Pipeline, servers: Servers, rows: number): Promise<Carried> {
  await inTransactions(rows, (from, to) => pipeline.writer.insert(from, to));
  return startAndCatchUp(pipeline, servers, rows, rows);
}

/** Does the same for changes that were written before, the last of them to `lastRow`. */
async function startAndCatchUp(pipeline: Pipeline, servers: Servers, changes: number, lastRow: number): Promise<Carried> {
  const arrival = async (): Promise<Carried> => {
    const first = await waitForFirst(pipeline, `status = 'active'`);
    const processorTime = await measureProcessorTime(pipeline, servers);
    const last = await waitUntilEqual(pipeline, lastRow);
    return { rate: changes / ((last - first) / 1_000), processorTime: await processorTime() };
  };
  const [carried] = await Promise.all([arrival(), pipeline.start()]);
  return carried;
}

/** Updates all rows while the pipeline runs. Measures from the first write until the last change is in DB2, and the writer alone. */
export async function drain(pipeline: Pipeline, servers: Servers, rows: number, status = 'paused'): Promise<Carried & { written: number }> {
  const processorTime = await measureProcessorTime(pipeline, servers);
  const begun = performance.now();
  await inTransactions(rows, (from, to) => pipeline.writer.setStatus(from, to, status));
  const written = rows / ((performance.now() - begun) / 1_000);
  const last = await waitUntilEqual(pipeline, rows, `status = '${status}'`);
  return { rate: rows / ((last - begun) / 1_000), written, processorTime: await processorTime() };
}

/** Makes changes one at a time, with pauses. Returns percentiles of the latency (ms), from DB1's response to the commit until DB2 shows the change. */
export async function spacedChanges({ db2, writer }: Pipeline, rows: number, changes: number): Promise<Record<string, number>> {
  const latencies: number[] = [];
  for (let change = 1; change <= changes; change += 1) {
    const row = 1 + (change % rows);
    const plan = `spaced ${change}`;
    await writer.setPlan(row, plan);
    const committed = performance.now();
    for (let found = false; !found;) {
      const result = await db2.query<{ plan: string | null }>({
        name: 'plan',
        text: 'SELECT plan FROM subscriptions WHERE email = $1',
        values: [`user${row}@example.com`],
      });
      found = result.rows[0]?.plan === plan;
      if (performance.now() - committed > ARRIVAL_TIMEOUT_MS)
        throw new Error(`A change did not arrive within ${ARRIVAL_TIMEOUT_MS / 1_000} s`);
    }
    latencies.push(performance.now() - committed);
    await delay(SPACING_MS);
  }
  return Object.fromEntries([0.5, 0.95, 0.99, 0.999].map((share) => [`p${share * 100}`, percentile(latencies, share)]));
}

/**
 * Lets 1 % of the keys take 90 % of the changes: inserts the rows, a tenth of `changes`, and then changes them before the pipeline starts.
 * The order is the same for all pipelines.
 */
export async function skewed(pipeline: Pipeline, servers: Servers, changes: number): Promise<Carried> {
  const rows = changes / 10;
  const hot = Math.max(1, rows / 100);
  await inTransactions(rows, (from, to) => pipeline.writer.insert(from, to));
  let lastRow = rows;
  await inTransactions(changes, async (from, to) => {
    const changed = Array.from({ length: to - from + 1 }, (_, index) => rowOf(from + index));
    lastRow = changed.at(-1)!;
    await pipeline.writer.setPlans(changed, `skewed ${from}`);
  });
  return startAndCatchUp(pipeline, servers, rows + changes, lastRow);

  function rowOf(change: number): number {
    const scattered = (change * 7_919) % 1_000_003;
    return change % 10 === 0 ? 1 + hot + (scattered % (rows - hot)) : 1 + (scattered % hot);
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';

/** Number of changes in each phase: `npm run bench:pipeline [-- CHANGES [tls]]`. A multiple of {@link ROWS_PER_TRANSACTION}. */
export const CHANGES = Number(process.argv[2] ?? 200_000);
const ROWS_PER_TRANSACTION = 1_000;
const SINGLE_CHANGES = 300;
const SPACING_MS = 20;

/** Measurements of one pipeline. Rates are changes per second. Delays (ms) are from DB1's response to the commit until DB2 shows the change. */
export interface Figures {
  /** All changes are committed before the pipeline starts. From the first row seen in DB2 to the last. */
  readonly catchUp: number;
  /** The pipeline runs while the changes are written. From the first change in DB1 to the last one seen in DB2. */
  readonly live: number;
  /** The same for DB1 alone: the rate of the writer. */
  readonly written: number;
  readonly delayP50: number;
  readonly delayP99: number;
}

/** Two databases that each have a table `subscriptions`. After `start`, changes flow from the first to the second. */
export interface Pipeline {
  readonly db1: Pool;
  readonly db2: Pool;
  start(): Promise<void>;
}

/**
 * Runs the workload through a pipeline. The state of DB2 is found by querying it: native replication stamps its commits with DB1's time,
 * so commit timestamps would be useless.
 */
export async function measure(pipeline: Pipeline): Promise<Figures> {
  const { db1, db2 } = pipeline;
  await write(
    db1,
    (from, to) =>
      `INSERT INTO subscriptions (email, status) SELECT 'user' || i || '@example.com', 'active' FROM generate_series(${from}, ${to}) i`,
  );
  const started = pipeline.start();
  const first = await waitFor(db2, 'SELECT EXISTS (SELECT FROM subscriptions) AS done', 2);
  const last = await waitFor(db2, allHave('active'), 20);
  await started;
  const written = await write(
    db1,
    (from, to) =>
      `UPDATE subscriptions SET status = 'paused' WHERE email IN (SELECT 'user' || i || '@example.com' FROM generate_series(${from}, ${to}) i)`,
  );
  const lastLive = await waitFor(db2, allHave('paused'), 20);
  const delays = await measureDelays(db1, db2);
  return {
    catchUp: CHANGES / (last - first),
    live: CHANGES / (lastLive - written.from),
    written: CHANGES / (written.to - written.from),
    delayP50: percentile(delays, 0.5),
    delayP99: percentile(delays, 0.99),
  };
}

/** Writes all rows. Returns the times (s) when the first transaction began and when the last one was committed. */
async function write(db1: Pool, statement: (from: number, to: number) => string): Promise<{ from: number; to: number }> {
  const from = Date.now() / 1_000;
  for (let row = 1; row <= CHANGES; row += ROWS_PER_TRANSACTION) await db1.query(statement(row, row + ROWS_PER_TRANSACTION - 1));
  return { from, to: Date.now() / 1_000 };
}

/**
 * Returns a condition that holds when all rows have the status. Counting takes DB2 20 ms, on cores that the pipeline needs too, so it starts
 * only when the last row is there.
 */
function allHave(status: string): string {
  return `
    SELECT CASE WHEN EXISTS (SELECT FROM subscriptions WHERE email = 'user${CHANGES}@example.com' AND status = '${status}')
      THEN (SELECT count(*) = ${CHANGES} FROM subscriptions WHERE status = '${status}') ELSE false END AS done`;
}

/** Polls until the condition holds. Returns the time (s). */
async function waitFor(db2: Pool, condition: string, everyMs: number): Promise<number> {
  for (;;) {
    const { rows } = await db2.query<{ done: boolean }>(condition);
    if (rows[0]!.done) return Date.now() / 1_000;
    await delay(everyMs);
  }
}

async function measureDelays(db1: Pool, db2: Pool): Promise<number[]> {
  const delays: number[] = [];
  for (let i = 1; i <= SINGLE_CHANGES; i += 1) {
    const email = `user${i}@example.com`;
    await db1.query(`UPDATE subscriptions SET status = 'expired' WHERE email = $1`, [email]);
    const committed = performance.now();
    for (let found = false; !found;) {
      const { rows } = await db2.query<{ status: string }>({
        name: 'status',
        text: 'SELECT status FROM subscriptions WHERE email = $1',
        values: [email],
      });
      found = rows[0]!.status === 'expired';
    }
    delays.push(performance.now() - committed);
    await delay(SPACING_MS);
  }
  return delays;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';

export const CHANGES = 200_000;
const ROWS_PER_TRANSACTION = 1_000;
const SINGLE_CHANGES = 300;
const SPACING_MS = 20;

/** What was measured of one pipeline. Rates are changes per second, delays ms from DB1's answer to the commit until DB2 shows it. */
export interface Figures {
  /** All changes were committed before the pipeline started; from the first row seen in DB2 to the last. */
  readonly catchUp: number;
  /** While they are written: from the first one in DB1 to the last seen in DB2. */
  readonly live: number;
  /** The same, for DB1's part alone: how fast the writer was. */
  readonly written: number;
  readonly delayP50: number;
  readonly delayP99: number;
}

/** Two databases with a table `subscriptions` each, between which a pipeline runs once `start` is called. */
export interface Pipeline {
  readonly db1: Pool;
  readonly db2: Pool;
  start(): Promise<void>;
}

/**
 * Runs the same workload through a pipeline. What DB2 has is found by asking it: native replication stamps its commits with DB1's
 * time, so commit timestamps would say nothing.
 */
export async function measure(pipeline: Pipeline): Promise<Figures> {
  const { db1, db2 } = pipeline;
  await write(
    db1,
    (from, to) =>
      `INSERT INTO subscriptions (email, status) SELECT 'user' || i || '@example.com', 'active' FROM generate_series(${from}, ${to}) i`,
  );
  const started = pipeline.start();
  const first = await seen(db2, 'SELECT EXISTS (SELECT FROM subscriptions) AS done', 2);
  const last = await seen(db2, allHave('active'), 20);
  await started;
  const written = await write(
    db1,
    (from, to) =>
      `UPDATE subscriptions SET status = 'paused' WHERE email IN (SELECT 'user' || i || '@example.com' FROM generate_series(${from}, ${to}) i)`,
  );
  const lastLive = await seen(db2, allHave('paused'), 20);
  const delays = await measureDelays(db1, db2);
  return {
    catchUp: CHANGES / (last - first),
    live: CHANGES / (lastLive - written.from),
    written: CHANGES / (written.to - written.from),
    delayP50: percentile(delays, 0.5),
    delayP99: percentile(delays, 0.99),
  };
}

/** @returns when the first transaction began and the last was committed, s. */
async function write(db1: Pool, statement: (from: number, to: number) => string): Promise<{ from: number; to: number }> {
  const from = Date.now() / 1_000;
  for (let row = 1; row <= CHANGES; row += ROWS_PER_TRANSACTION) await db1.query(statement(row, row + ROWS_PER_TRANSACTION - 1));
  return { from, to: Date.now() / 1_000 };
}

/** Counting takes DB2 20 ms, on cores that the pipeline needs too: it begins when the last row is there. */
function allHave(status: string): string {
  return `
    SELECT CASE WHEN EXISTS (SELECT FROM subscriptions WHERE email = 'user${CHANGES}@example.com' AND status = '${status}')
      THEN (SELECT count(*) = ${CHANGES} FROM subscriptions WHERE status = '${status}') ELSE false END AS done`;
}

/** @returns when the condition held, s. */
async function seen(db2: Pool, condition: string, everyMs: number): Promise<number> {
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
        name: 'look',
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

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

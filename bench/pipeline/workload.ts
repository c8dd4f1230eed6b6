import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';

export const CHANGES = 200_000;
const ROWS_PER_TRANSACTION = 1_000;
const SINGLE_CHANGES = 300;
const SPACING_MS = 20;

/** What was measured of one pipeline. Rates are changes per second, delays ms between the commit in DB1 and the commit in DB2. */
export interface Figures {
  /** All changes were committed before the pipeline started; from its first commit in DB2 to its last. */
  readonly catchUp: number;
  /** While they are written: from the first commit in DB1 to the last in DB2. */
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
  /** The table of DB2 whose rows' transactions are looked at. */
  readonly table: string;
  start(): Promise<void>;
}

/** Runs the same workload through a pipeline. Commit times are PostgreSQL's own (track_commit_timestamp), on one clock. */
export async function measure({ db1, db2, table, start }: Pipeline): Promise<Figures> {
  await write(
    db1,
    (from, to) =>
      `INSERT INTO subscriptions (email, status) SELECT 'user' || i || '@example.com', 'active' FROM generate_series(${from}, ${to}) i`,
  );
  await start();
  await until(db2, `SELECT count(*) = ${CHANGES} AS done FROM subscriptions`);
  const [first, last] = await commitTimes(db2, table);
  const written = await write(
    db1,
    (from, to) =>
      `UPDATE subscriptions SET status = 'paused' WHERE email IN (SELECT 'user' || i || '@example.com' FROM generate_series(${from}, ${to}) i)`,
  );
  await until(db2, `SELECT count(*) = ${CHANGES} AS done FROM subscriptions WHERE status = 'paused'`);
  const [, lastLive] = await commitTimes(db2, table);
  const delays = await measureDelays(db1, db2, table);
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

async function until(db2: Pool, condition: string): Promise<void> {
  for (;;) {
    const { rows } = await db2.query<{ done: boolean }>(condition);
    if (rows[0]!.done) return;
    await delay(200);
  }
}

/** When the oldest and the newest of the table's rows were committed, s. */
async function commitTimes(db2: Pool, table: string): Promise<[number, number]> {
  const { rows } = await db2.query<{ first: number; last: number }>(
    `SELECT extract(epoch FROM min(t))::float8 AS first, extract(epoch FROM max(t))::float8 AS last
     FROM (SELECT pg_xact_commit_timestamp(x) AS t FROM (SELECT DISTINCT xmin AS x FROM ${table}) xs) ts`,
  );
  return [rows[0]!.first, rows[0]!.last];
}

async function measureDelays(db1: Pool, db2: Pool, table: string): Promise<number[]> {
  const emails = Array.from({ length: SINGLE_CHANGES }, (_, i) => `user${i + 1}@example.com`);
  for (const email of emails) {
    await db1.query(`UPDATE subscriptions SET status = 'expired' WHERE email = $1`, [email]);
    await delay(SPACING_MS);
  }
  await until(db2, `SELECT count(*) = ${SINGLE_CHANGES} AS done FROM subscriptions WHERE status = 'expired'`);
  const times = async (pool: Pool, from: string): Promise<Map<string, number>> => {
    const { rows } = await pool.query<{ email: string; time: number }>(
      `SELECT email, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS time FROM ${from} WHERE email = ANY ($1)`,
      [emails],
    );
    return new Map(rows.map(({ email, time }) => [email, time]));
  };
  const [before, after] = [await times(db1, 'subscriptions'), await times(db2, table)];
  return emails.map((email) => (after.get(email)! - before.get(email)!) * 1_000);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Pipeline } from './pipeline.js';

/** Timeout (ms) for changes to arrive. */
const TIMEOUT_MS = 60 * 60_000;
/** Interval (ms) between two queries for the first change, and for the last one. */
const INTERVAL_MS = { first: 2, last: 20 };

/**
 * Number of rows and a hash of them. Times of creation and modification are left out: the tutorial's way keeps milliseconds of them.
 */
const FINGERPRINT = `
  SELECT count(*) || ' rows ' || coalesce(sum(hashtextextended(
    concat_ws('|', email, status, plan, access_until, cancel_at_period_end, metadata), 0)), 0) AS fingerprint
  FROM subscriptions`;

async function fingerprintOf(database: Pool, where = 'true'): Promise<string> {
  return (await database.query<{ fingerprint: string }>(`${FINGERPRINT} WHERE ${where}`)).rows[0]!.fingerprint;
}

/** @throws Error when the tables differ. */
export async function expectEqual({ db1, db2 }: Pipeline): Promise<void> {
  const [in1, in2] = await Promise.all([fingerprintOf(db1), fingerprintOf(db2)]);
  if (in1 !== in2) throw new Error(`The tables differ: Database 1 has ${in1}, Database 2 has ${in2}`);
}

/** Returns the time (ms) when the first row of the condition is in DB2. */
export function waitForFirst({ db2 }: Pipeline, condition: string): Promise<number> {
  return waitUntil(async () => (await db2.query(`SELECT FROM subscriptions WHERE ${condition} LIMIT 1`)).rowCount === 1, INTERVAL_MS.first);
}

/**
 * Returns the time (ms) from which both tables have equal rows, of those that meet the condition, after the last write. Comparing tables takes DB2 time
 * on cores that the pipeline needs too, so it starts only when the row that was written last is equal.
 */
export async function waitUntilEqual({ db1, db2 }: Pipeline, lastRow: number, where = 'true'): Promise<number> {
  const row = { text: 'SELECT status, plan FROM subscriptions WHERE email = $1', values: [`user${lastRow}@example.com`] };
  const last = JSON.stringify((await db1.query(row)).rows);
  await waitUntil(async () => JSON.stringify((await db2.query(row)).rows) === last, INTERVAL_MS.last);
  const expected = await fingerprintOf(db1, where);
  return waitUntil(async () => (await fingerprintOf(db2, where)) === expected, INTERVAL_MS.last);
}

/** Polls until the condition holds. Returns when the query began that found it: the state that it saw. Pauses at least as long as a query takes. */
async function waitUntil(condition: () => Promise<boolean>, intervalMs: number): Promise<number> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    const asked = performance.now();
    if (await condition()) return asked;
    if (asked > deadline) throw new Error(`Changes did not arrive within ${TIMEOUT_MS / 60_000} minutes`);
    await delay(Math.max(intervalMs, performance.now() - asked));
  }
}

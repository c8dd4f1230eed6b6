import type { Pool } from 'pg';
import { pastTriggers } from '../../test/harness/past-triggers.js';

export const DIFFERENCES = 100;

/**
 * Writes the same rows to both databases, past triggers and stream, in random order of their emails as in tables that grew for years. Both
 * tables also have the column `n`, by which data-diff bisects.
 */
export async function fill(db1: Pool, db2: Pool, rows: number): Promise<void> {
  const insert = `
    INSERT INTO subscriptions (email, status, plan, access_until, cancel_at_period_end, metadata, n, created_at, updated_at)
    SELECT md5(i::text) || '@example.com', 'active', 'pro', timestamptz '2027-01-01', false, '{"source": "web", "n": 1}', i,
      timestamptz '2026-01-01' + i * interval '1 second', timestamptz '2026-02-01' + i * interval '1 second'
    FROM generate_series(1, ${rows}) i`;
  const client = await db1.connect();
  await client.query('SET statement_timeout = 0');
  await Promise.all([db1, db2].map((pool) => pool.query('ALTER TABLE subscriptions ADD COLUMN n bigint')));
  await Promise.all([client.query(pastTriggers(insert)), db2.query(insert)]);
  await db2.query('INSERT INTO subscription_sync.applied (email, version) SELECT email, n FROM subscriptions');
  await client.query(`SELECT setval('subscription_sync.version', ${rows + 1})`);
  client.release();
  await Promise.all([db1.query('VACUUM ANALYZE subscriptions'), db2.query('VACUUM ANALYZE subscriptions, subscription_sync.applied')]);
}

/** Adds an event for each row to the log, as if the triggers had existed when the rows were made. */
export async function log(db1: Pool): Promise<void> {
  const client = await db1.connect();
  await client.query(`SET statement_timeout = 0; SELECT count(subscription_sync.append_row('created', s.email)) FROM subscriptions s`);
  await client.query('VACUUM ANALYZE subscription_sync.changes');
  client.release();
}

/** Changes {@link DIFFERENCES} rows, spread over all of DB2. */
export async function drift(db2: Pool, rows: number): Promise<void> {
  await db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE n % ${Math.floor(rows / DIFFERENCES)} = 1`);
}

/** Measures the minimum work of a comparison: one scan of all rows of both databases at the same time. Returns its duration (s). */
export async function plainScan(db1: Pool, db2: Pool): Promise<number> {
  const started = performance.now();
  const scan = 'SELECT count(*), sum(hashtextextended(s::text, 0)) FROM subscriptions s';
  await Promise.all([db1.query(scan), db2.query(scan)]);
  return (performance.now() - started) / 1_000;
}

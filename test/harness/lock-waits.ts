import type { Pool } from 'pg';

/** The sessions of servers that wait for a lock in a database: their process ids. */
export async function lockWaits(pool: Pool, database: string): Promise<number[]> {
  const { rows } = await pool.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND application_name LIKE 'subscription-sync%'`,
    [database],
  );
  return rows.map(({ pid }) => pid);
}

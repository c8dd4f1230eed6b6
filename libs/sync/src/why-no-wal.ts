import type { Client } from 'pg';

/** SQLSTATEs by which PostgreSQL refuses logical decoding for good: prerequisites, privilege, no free slot. */
const REFUSALS = new Set(['55000', '42501', '53400', '0A000']);

/** Why DB1 does not allow the `wal` capture, in one sentence with what to do; undefined when it does. */
export async function whyNoWal(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ wal_level: string; standby: boolean }>(
    `SELECT current_setting('wal_level') AS wal_level, pg_is_in_recovery() AS standby`,
  );
  const { wal_level: level, standby } = rows[0]!;
  if (level !== 'logical') return `wal_level is ${level}: set wal_level = logical in postgresql.conf and restart PostgreSQL`;
  if (standby) return 'DB1_HOST is a standby: writes and capture need the primary';
  return undefined;
}

/** Whether the error of preparing the slot means that `wal` won't work here, not just now. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && REFUSALS.has(String(error.code));
}

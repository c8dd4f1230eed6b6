import type { Client } from 'pg';
import { SlotNotOursError } from './slot.js';

/** SQLSTATEs by which PostgreSQL refuses logical decoding: prerequisites, privilege, no free slot, no free sender, not supported. */
const REFUSALS = new Set(['55000', '42501', '53400', '53300', '0A000']);

/** Why DB1 does not allow the `wal` capture, in one sentence with what to do; undefined when it does. */
export async function whyNoWal(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ wal_level: string }>(`SELECT current_setting('wal_level') AS wal_level`);
  const { wal_level: level } = rows[0]!;
  return level === 'logical' ? undefined : `wal_level is ${level}: set wal_level = logical in postgresql.conf and restart PostgreSQL`;
}

/** Whether the error of preparing the slot means that `wal` won't work here before somebody changes something. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof SlotNotOursError) return true;
  return error instanceof Error && 'code' in error && REFUSALS.has(String(error.code));
}

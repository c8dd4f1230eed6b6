import type { Pool } from 'pg';
import { ApiKeys, type Sql } from '#auth';
import type { Scope } from '#http';

/** The key store of a test's Database 1, as `npm run access` uses it. */
export function keysIn(pool: Pool): ApiKeys {
  const sql: Sql = { query: async <Row>(text: string, values?: unknown[]) => (await pool.query(text, values)).rows as Row[] };
  return new ApiKeys(sql);
}

export async function makeKey(pool: Pool, ...scopes: Scope[]): Promise<string> {
  return (await keysIn(pool).create(`test ${scopes.join(' ')}`.slice(0, 64), scopes, undefined, 'test')).key;
}

export function bearer(credential: string): { authorization: string } {
  return { authorization: `Bearer ${credential}` };
}

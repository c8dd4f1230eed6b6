import { escapeIdentifier } from 'pg';
import type { Query, SubscriptionTable } from '#postgres';
import { FIRST_TRIGGER } from './db1/triggers.js';

/**
 * AFTER ROW triggers of other programs that fire before those of the service. Deferred ones fire later, whatever their names are. On a
 * partition they fire beside the clones of those of the partitioned table, in the same order.
 */
const SELECT_EARLY_TRIGGERS = `
SELECT t.tgname AS name, quote_ident(n.nspname) || '.' || quote_ident(r.relname) AS "table"
FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE t.tgrelid IN (SELECT to_regclass($1)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass($1))) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND t.tgtype & 1 = 1 AND t.tgtype & 66 = 0 AND t.tgenabled <> 'D' AND NOT t.tginitdeferred AND t.tgname::text COLLATE "C" < '${FIRST_TRIGGER}'
ORDER BY 2, 1`;

/** Returns what may go wrong with the table of DB1 although it is fit, one line each, with the statement that prevents it. */
export async function findDb1Risks(query: Query, { label, sql }: SubscriptionTable): Promise<string[]> {
  const triggers = await query<{ name: string; table: string }>(SELECT_EARLY_TRIGGERS, [sql]);
  return triggers.map(
    ({ name, table }) =>
      `The trigger ${name} of ${label} fires before those of the service. If it writes the row again that has fired it, both changes are recorded in the wrong order, ` +
      `and Database 2 keeps the first one until the next comparison. ALTER TRIGGER ${escapeIdentifier(name)} ON ${table} RENAME TO ${escapeIdentifier(`zz_${name}`)}`,
  );
}

/** Returns the same for DB2. */
export async function findDb2Risks(query: Query, { label, sql }: SubscriptionTable): Promise<string[]> {
  const [{ unlogged } = { unlogged: false }] = await query<{ unlogged: boolean }>(
    `SELECT relpersistence = 'u' AS unlogged FROM pg_class WHERE oid = to_regclass($1)`,
    [sql],
  );
  if (!unlogged) return [];
  return [
    `${label} is unlogged: a crash of its server empties it, and it stays empty until comparisons have repaired all rows. ALTER TABLE ${sql} SET LOGGED`,
  ];
}

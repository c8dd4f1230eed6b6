import type { Query, SubscriptionTable } from '#postgres';

/** Returns what may go wrong with the table of DB2 although it is fit, one line each, with the statement that prevents it. */
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

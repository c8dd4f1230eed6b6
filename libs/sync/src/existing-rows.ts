import type { DataSource, EntityManager } from 'typeorm';
import { keyOperator, type Query, queryOf, type SubscriptionTable } from '#postgres';

const CHUNK = 5_000;

const IS_DONE = 'SELECT was_empty OR rows_recorded AS done FROM subscription_sync.installation';

/**
 * Records rows that existed before the service came, once, in short transactions, while other programs write. Without `all`, only those whose
 * email is not in its normalised spelling: the API finds their spelling in the log. The others reach DB2 by the first backfill, without a row in
 * the log. Where no process compares both databases there is none, so `all` rows are recorded, and published like any change.
 * @returns the number of rows that were recorded.
 */
export async function recordExistingRows(db1: EntityManager, table: SubscriptionTable, all: boolean, signal: AbortSignal): Promise<number> {
  const { sql, key, keyColumn } = table;
  const [installation] = await db1.query<[{ done: boolean }]>(IS_DONE);
  if (installation.done) return 0;
  const condition = all ? `s.${key} IS NOT NULL` : `s.${key}::text <> subscription_sync.normalize_email(s.${key}::text)`;
  const chunkAfter = (after: string): string => `
    SELECT (array_agg(c.key ORDER BY c.key DESC))[1]::text AS last, array_agg(c.key::text ORDER BY c.key) FILTER (WHERE c.chosen) AS chosen
    FROM (SELECT s.${key} AS key, ${condition} AS chosen FROM ${sql} s ${after} ORDER BY s.${key} LIMIT ${CHUNK}) c`;
  let rows = 0;
  for (let after: string | null | undefined; after !== null && !signal.aborted;) {
    const [chunk]: [{ last: string | null; chosen: string[] | null }] = await (after === undefined
      ? db1.query(chunkAfter(''))
      : db1.query(chunkAfter(`WHERE s.${key} ${keyOperator(table, '>')} $1::${keyColumn.typeOfAnyLength}`), [after]));
    after = chunk.last;
    if (chunk.chosen) rows += await record(db1, chunk.chosen);
  }
  if (!signal.aborted) await db1.query('UPDATE subscription_sync.installation SET rows_recorded = true');
  return rows;
}

/** Appends the rows that the log does not know, as created. They are locked, so the log knows each change of them that was made before. */
async function record(db1: EntityManager, written: readonly string[]): Promise<number> {
  return db1.transaction(async (manager) => {
    const locked = await lockRows(queryOf(manager), written);
    const [recorded] = await manager.query<[{ rows: number }]>(
      `SELECT count(subscription_sync.append_row('created', w))::int AS rows FROM unnest($1::text[]) w
       WHERE subscription_sync.newest_version(subscription_sync.normalize_email(w)) IS NULL`,
      [locked],
    );
    return recorded.rows;
  });
}

/**
 * Locks the rows of these keys until the transaction ends, in their order. @returns the keys of the rows that exist and are locked: a row that is
 * inserted after this may be deleted again by a transaction whose change has a lower version than one that is made for the row now.
 */
export async function lockRows(query: Query, keys: readonly string[]): Promise<string[]> {
  const rows = await query<{ key: string }>('SELECT l.key FROM subscription_sync.lock_rows($1) l(key)', [keys]);
  return rows.map((row) => row.key);
}

/** SQL expression: the table had no rows when the service came, so the log knows every row. */
export const LOG_KNOWS_ALL_ROWS = '(SELECT was_empty FROM subscription_sync.installation)';

/** Whether rows existed before the service came that have not been copied to DB2. */
export async function mustCopyExistingRows(db1: DataSource): Promise<boolean> {
  const rows = await db1.query<unknown[]>('SELECT FROM subscription_sync.installation WHERE NOT was_empty AND NOT rows_copied');
  return rows.length > 0;
}

/** Stores that the rows which existed before the service came have been copied. */
export async function storeExistingRowsCopied(db1: DataSource): Promise<void> {
  await db1.query('UPDATE subscription_sync.installation SET rows_copied = true WHERE NOT rows_copied');
}

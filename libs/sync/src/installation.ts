import type { DataSource } from 'typeorm';

/** SQL about the rows that existed before the service came, for other libraries, none of which names the table. */

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

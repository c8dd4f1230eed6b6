import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { withoutHurry } from '#postgres';

const NAME = 'subscription_sync_email_bytes';

/** An index of the email alone, or first, in the order of its bytes. */
const FOUND = (table: string): string => `
SELECT EXISTS (
  SELECT FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  WHERE i.indrelid = '${table}'::regclass AND i.indkey[0] = a.attnum AND i.indcollation[0] = '"C"'::regcollation
    AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
) AS found`;

/** Makes both databases ready to be gone over in the order of emails. @throws Error when an index can't be made. */
export async function ensureEmailIndexes(db1: DataSource, db2: DataSource): Promise<void> {
  await ensureEmailIndex(db1, 'subscriptions');
  await ensureEmailIndex(db2, 'replicated_subscriptions');
}

/**
 * Two databases agree on the order of emails only by their bytes. Tables of ours are in that order; one that was adopted may not be,
 * and then gets an index of its own, without locking out writers: without it every range would sort the whole table.
 */
async function ensureEmailIndex(database: DataSource, table: 'subscriptions' | 'replicated_subscriptions'): Promise<void> {
  const [{ found }] = await database.query<[{ found: boolean }]>(FOUND(table));
  if (found) return;
  new Logger('reconciliation').log(`${table} has no index of its emails in the order of their bytes: making one, ${NAME}`);
  await withoutHurry(database, async (manager) => {
    // What a broken-off attempt left is never valid.
    await manager.query(`DROP INDEX CONCURRENTLY IF EXISTS ${NAME}`);
    await manager.query(`CREATE INDEX CONCURRENTLY ${NAME} ON ${table} (email COLLATE "C")`);
  });
}

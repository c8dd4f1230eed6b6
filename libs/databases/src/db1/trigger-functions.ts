import type { DataSource } from 'typeorm';
import { withSchemaLock } from '../migrate.js';
import { CREATE_LIFECYCLE_FUNCTION, LIFECYCLE_EXPRESSION } from './lifecycle.sql.js';
import {
  SELECT_COLUMNS,
  createAppendFunction,
  createLogTrigger,
  createNormaliser,
  createVersionTrigger,
  previousValue,
  type Column,
} from './triggers.sql.js';

type Query = (sql: string) => Promise<unknown>;

const SELECT_SURROUNDINGS = `
SELECT quote_ident(n.nspname) AS schema,
       EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS icu
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = 'subscriptions'::regclass`;

/**
 * Writes the trigger functions for the columns that `subscriptions` has now. Run by the migration and at every start, so
 * that `previous` knows a column that was added since; the image carries such a column at once, without it.
 */
export async function installTriggerFunctions(query: Query): Promise<void> {
  const [surroundings] = (await query(SELECT_SURROUNDINGS)) as [{ schema: string; icu: boolean }];
  const columns = (await query(SELECT_COLUMNS)) as Column[];
  const { schema } = surroundings;
  await query(createNormaliser(surroundings.icu ? '"und-x-icu"' : '"default"'));
  await query(CREATE_LIFECYCLE_FUNCTION);
  await query(createAppendFunction(schema));
  await query(createVersionTrigger(schema));
  await query(createLogTrigger(schema, columns));
}

/** {@link installTriggerFunctions}, when the functions in the database don't know all of the table's columns, or another lifecycle. */
export async function refreshTriggerFunctions(dataSource: DataSource): Promise<void> {
  const query: Query = (sql) => dataSource.query(sql);
  const columns = (await query(SELECT_COLUMNS)) as Column[];
  const [installed] = (await query(`
    SELECT (SELECT prosrc FROM pg_proc WHERE oid = 'subscription_log_change'::regproc) AS log,
           (SELECT prosrc FROM pg_proc WHERE oid = 'subscription_may_follow'::regproc) AS lifecycle`)) as [
    { log: string; lifecycle: string },
  ];
  const current = columns.every((column) => installed.log.includes(previousValue(column)));
  if (current && installed.lifecycle.trim() === LIFECYCLE_EXPRESSION.trim()) return;
  await withSchemaLock(dataSource, (manager) => installTriggerFunctions((sql) => manager.query(sql)));
}

import { createHash } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { STATUS_TRANSITIONS } from '#events';
import { withSchemaLock } from '#postgres';
import { CREATE_IMPORT_ROWS_FUNCTION } from './import-rows-function.js';
import {
  type Column,
  CREATE_ROW_TRIGGER,
  createAppendFunction,
  createLogTrigger,
  createNormaliser,
  createTruncateTrigger,
  SELECT_COLUMNS,
} from './triggers.js';
import { CREATE_WRITE_FUNCTIONS } from './write-functions.js';

type Query = (sql: string) => Promise<unknown>;

const SELECT_SURROUNDINGS = `
SELECT quote_ident(n.nspname) AS schema,
       EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS icu
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = 'subscriptions'::regclass`;

/** The function whose comment holds the hash of all installed functions. */
const MARKED_FUNCTION = 'subscription_sync.log_change()';

/** Installs all functions of DB1 for the current columns of `subscriptions`. */
export async function installFunctions(query: Query): Promise<void> {
  const statements = await functionStatements(query);
  for (const statement of statements) await query(statement);
  await query(`COMMENT ON FUNCTION ${MARKED_FUNCTION} IS '${fingerprint(statements)}'`);
}

/**
 * Installs the functions again if those in the database do not match this release and the table's current columns. Runs at every start. A
 * column that was added since then appears in `previous` from now on; the image of a row always has all columns.
 */
export async function refreshFunctions(dataSource: DataSource): Promise<void> {
  const query: Query = (sql) => dataSource.query(sql);
  const [installed] = (await query(`SELECT obj_description('${MARKED_FUNCTION}'::regprocedure) AS hash`)) as [{ hash: string | null }];
  if (installed.hash === fingerprint(await functionStatements(query))) return;
  await withSchemaLock(dataSource, (manager) => installFunctions((sql) => manager.query(sql)));
}

async function functionStatements(query: Query): Promise<string[]> {
  const [{ schema, icu }] = (await query(SELECT_SURROUNDINGS)) as [{ schema: string; icu: boolean }];
  const columns = (await query(SELECT_COLUMNS)) as Column[];
  return [
    createNormaliser(icu ? '"und-x-icu"' : '"default"'),
    CREATE_TRANSITION_FUNCTION,
    createAppendFunction(schema),
    CREATE_ROW_TRIGGER,
    createLogTrigger(schema, columns),
    createTruncateTrigger(schema),
    ...CREATE_WRITE_FUNCTIONS,
    CREATE_IMPORT_ROWS_FUNCTION,
  ];
}

function fingerprint(statements: readonly string[]): string {
  return createHash('sha256').update(statements.join('\n')).digest('hex');
}

const quoted = (status: string): string => `'${status.replaceAll("'", "''")}'`;
const isAmong = (statuses: readonly string[]): string => `after IN (${statuses.map(quoted).join(', ')})`;

/** The allowed status transitions as a SQL expression. */
const TRANSITION_EXPRESSION = `
  SELECT before = after OR CASE before
${Object.entries(STATUS_TRANSITIONS)
  .map(([status, { next, reactivated }]) => `    WHEN ${quoted(status)} THEN ${conditionFor(next, reactivated)}`)
  .join('\n')}
    ELSE true END`;

function conditionFor(next: readonly string[], reactivated: readonly string[]): string {
  const conditions = [
    ...(next.length > 0 ? [isAmong(next)] : []),
    ...(reactivated.length > 0 ? [`(reactivate AND ${isAmong(reactivated)})`] : []),
  ];
  return conditions.length > 0 ? conditions.join(' OR ') : 'false';
}

/** Returns whether a status may change from `before` to `after`. */
const CREATE_TRANSITION_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.transition_allowed(before text, after text, reactivate boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$${TRANSITION_EXPRESSION}
$$`;

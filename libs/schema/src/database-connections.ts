import { Logger } from '@nestjs/common';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { type DatabaseSettings, DEFAULT_TABLE, type PostgresTimings, type Settings, type TableSettings, type Timings } from '#config';
import {
  type DatabaseConnection,
  DB1,
  db1ConnectionOptions,
  DB2,
  db2ConnectionOptions,
  describeTable,
  hasSqlstate,
  type Query,
  queryOf,
  SQLSTATE,
  type SubscriptionTable,
} from '#postgres';
import { db1FunctionsFor } from './db1/functions.js';
import { db2Functions } from './db2/functions.js';
import { expectFit } from './fit.js';
import { type FunctionSet, refreshFunctions } from './install-functions.js';
import { DB1_MIGRATIONS, DB2_MIGRATIONS } from './migrations.js';
import { outdatedError } from './role-privileges.js';

/** Returns the connection options of DB1 with its migrations. */
export function db1Options(settings: DatabaseSettings, timings?: PostgresTimings, table: TableSettings = DEFAULT_TABLE): DataSourceOptions {
  return { ...db1ConnectionOptions(settings, timings), migrations: DB1_MIGRATIONS.map((migration) => migration(table)) };
}

/** Returns the connection options of DB2 with its migrations. */
export function db2Options(settings: DatabaseSettings, timings?: PostgresTimings, table: TableSettings = DEFAULT_TABLE): DataSourceOptions {
  return { ...db2ConnectionOptions(settings, timings), migrations: DB2_MIGRATIONS.map((migration) => migration(table)) };
}

/**
 * Returns the connections of the databases that the settings name, each with its migrations and with what is called before and after them at
 * every start. Without roles, the users have to be able to install the service.
 */
export function databaseConnections(
  { db1, db2, mapping, roles }: Pick<Settings, 'db1' | 'db2' | 'mapping'> & Partial<Pick<Settings, 'roles'>>,
  { postgres }: Timings,
): DatabaseConnection[] {
  const logger = new Logger('tables');
  const fitsDb1 = (dataSource: DataSource): Promise<void> =>
    expectFit(queryOf(dataSource), 'DB1', mapping.db1, { statuses: mapping, roles });
  const fitsDb2 = (dataSource: DataSource): Promise<void> => expectFit(queryOf(dataSource), 'DB2', mapping.db2, { roles });
  const prepareDb1 = async (dataSource: DataSource): Promise<SubscriptionTable> => {
    const table = await describeTable(queryOf(dataSource), 'DB1', mapping.db1);
    await bringUpToDate(dataSource, 'DB1', table, await db1FunctionsFor(queryOf(dataSource), table, mapping));
    return table;
  };
  const prepareDb2 = async (dataSource: DataSource): Promise<SubscriptionTable> => {
    const table = await describeTable(queryOf(dataSource), 'DB2', mapping.db2);
    await bringUpToDate(dataSource, 'DB2', table, db2Functions(table));
    for (const risk of await findDb2Risks(queryOf(dataSource), table)) logger.warn({ code: 'db2-table-risk', message: risk });
    return table;
  };
  return [
    ...(db1 ? [{ name: DB1, options: db1Options(db1, postgres, mapping.db1), expectFit: fitsDb1, prepare: prepareDb1 } as const] : []),
    ...(db2 ? [{ name: DB2, options: db2Options(db2, postgres, mapping.db2), expectFit: fitsDb2, prepare: prepareDb2 } as const] : []),
  ];
}

/** Brings up to date what is no migration's: the name of the table, and the functions. @throws Error when its owner has to do so. */
async function bringUpToDate(
  dataSource: DataSource,
  database: 'DB1' | 'DB2',
  table: SubscriptionTable,
  functions: FunctionSet,
): Promise<void> {
  try {
    await rememberTable(queryOf(dataSource), table);
    await refreshFunctions(dataSource, functions);
  } catch (error) {
    throw hasSqlstate(error, SQLSTATE.insufficientPrivilege) ? await outdatedError(queryOf(dataSource), database, error) : error;
  }
}

/** Notes the table and its key where they were renamed: the check has found no others under the names before. */
async function rememberTable(query: Query, { sql, keyColumn }: SubscriptionTable): Promise<void> {
  const names = [sql, keyColumn.name];
  const known = await query('SELECT FROM subscription_sync.installation WHERE table_name = $1 AND key_column = $2', names);
  if (known.length === 0) await query('UPDATE subscription_sync.installation SET table_name = $1, key_column = $2', names);
}

/** Returns what may go wrong with the table of DB2 although it is fit, one line each, with the statement that prevents it. */
async function findDb2Risks(query: Query, { label, sql }: SubscriptionTable): Promise<string[]> {
  const [{ unlogged } = { unlogged: false }] = await query<{ unlogged: boolean }>(
    `SELECT relpersistence = 'u' AS unlogged FROM pg_class WHERE oid = to_regclass($1)`,
    [sql],
  );
  if (!unlogged) return [];
  return [
    `${label} is unlogged: a crash of its server empties it, and it stays empty until comparisons have repaired all rows. ALTER TABLE ${sql} SET LOGGED`,
  ];
}

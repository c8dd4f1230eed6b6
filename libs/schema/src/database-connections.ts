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
  type Query,
  queryOf,
  type SubscriptionTable,
} from '#postgres';
import { db1FunctionsFor } from './db1/functions.js';
import { db2Functions } from './db2/functions.js';
import { expectFit } from './fit.js';
import { refreshFunctions } from './install-functions.js';
import { DB1_MIGRATIONS, DB2_MIGRATIONS } from './migrations.js';

/** Returns the connection options of DB1 with its migrations. */
export function db1Options(settings: DatabaseSettings, timings?: PostgresTimings, table: TableSettings = DEFAULT_TABLE): DataSourceOptions {
  return { ...db1ConnectionOptions(settings, timings), migrations: DB1_MIGRATIONS.map((migration) => migration(table)) };
}

/** Returns the connection options of DB2 with its migrations. */
export function db2Options(settings: DatabaseSettings, timings?: PostgresTimings, table: TableSettings = DEFAULT_TABLE): DataSourceOptions {
  return { ...db2ConnectionOptions(settings, timings), migrations: DB2_MIGRATIONS.map((migration) => migration(table)) };
}

/** Returns the connections of the databases that the settings name, each with its migrations and with what is called before and after them at every start. */
export function databaseConnections({ db1, db2, mapping }: Settings, { postgres }: Timings): DatabaseConnection[] {
  const logger = new Logger('tables');
  const fitsDb1 = (dataSource: DataSource): Promise<void> => expectFit(queryOf(dataSource), 'DB1', mapping.db1, mapping);
  const fitsDb2 = (dataSource: DataSource): Promise<void> => expectFit(queryOf(dataSource), 'DB2', mapping.db2);
  const prepareDb1 = async (dataSource: DataSource): Promise<SubscriptionTable> => {
    const table = await describeTable(queryOf(dataSource), 'DB1', mapping.db1);
    await rememberTable(queryOf(dataSource), table);
    await refreshFunctions(dataSource, await db1FunctionsFor(queryOf(dataSource), table, mapping));
    return table;
  };
  const prepareDb2 = async (dataSource: DataSource): Promise<SubscriptionTable> => {
    const table = await describeTable(queryOf(dataSource), 'DB2', mapping.db2);
    await rememberTable(queryOf(dataSource), table);
    await refreshFunctions(dataSource, db2Functions(table));
    for (const risk of await findDb2Risks(queryOf(dataSource), table)) logger.warn(risk);
    return table;
  };
  return [
    ...(db1 ? [{ name: DB1, options: db1Options(db1, postgres, mapping.db1), expectFit: fitsDb1, prepare: prepareDb1 } as const] : []),
    ...(db2 ? [{ name: DB2, options: db2Options(db2, postgres, mapping.db2), expectFit: fitsDb2, prepare: prepareDb2 } as const] : []),
  ];
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

import type { DataSourceOptions } from 'typeorm';
import type { DatabaseSettings, PostgresTimings, Settings, Timings } from '#config';
import { type DatabaseConnection, DB1, db1ConnectionOptions, DB2, db2ConnectionOptions } from '#postgres';
import { refreshFunctions } from './db1/functions.js';
import { DB1_MIGRATIONS, DB2_MIGRATIONS } from './migrations.js';

/** Returns the connection options of DB1 with its migrations. */
export function db1Options(settings: DatabaseSettings, timings?: PostgresTimings): DataSourceOptions {
  return { ...db1ConnectionOptions(settings, timings), migrations: DB1_MIGRATIONS };
}

/** Returns the connection options of DB2 with its migrations. */
export function db2Options(settings: DatabaseSettings, timings?: PostgresTimings): DataSourceOptions {
  return { ...db2ConnectionOptions(settings, timings), migrations: DB2_MIGRATIONS };
}

/** Returns the connections of the databases that the settings name, each with its migrations and, for DB1, what is called after them at every start. */
export function databaseConnections({ db1, db2 }: Settings, { postgres }: Timings): DatabaseConnection[] {
  return [
    ...(db1 ? [{ name: DB1, options: db1Options(db1, postgres), prepare: refreshFunctions } as const] : []),
    ...(db2 ? [{ name: DB2, options: db2Options(db2, postgres) } as const] : []),
  ];
}

import type { DataSourceOptions } from 'typeorm';
import type { DatabaseSettings, Settings } from '#config';
import { type DatabaseConnection, DB1, db1ConnectionOptions, DB2, db2ConnectionOptions } from '#postgres';
import { refreshFunctions } from './db1/functions.js';
import { refreshReplicaView } from './db2/replica-view.js';
import { Db1Baseline1764600000000, Db2Baseline1764600000000 } from './migrations.js';

/** Connection options of DB1 with its migrations. */
export function db1Options(settings: DatabaseSettings): DataSourceOptions {
  return { ...db1ConnectionOptions(settings), migrations: [Db1Baseline1764600000000] };
}

/** Connection options of DB2 with its migrations. */
export function db2Options(settings: DatabaseSettings): DataSourceOptions {
  return { ...db2ConnectionOptions(settings), migrations: [Db2Baseline1764600000000] };
}

/** The databases that the settings name, each with its migrations and what follows them at every start. */
export function databaseConnections({ db1, db2 }: Settings): DatabaseConnection[] {
  return [
    ...(db1 ? [{ name: DB1, options: db1Options(db1), prepare: refreshFunctions } as const] : []),
    ...(db2 ? [{ name: DB2, options: db2Options(db2), prepare: refreshReplicaView } as const] : []),
  ];
}

import { readFileSync } from 'node:fs';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { DEFAULT_MAPPING, type TableSettings } from '#config';
import { describeTable, locateTable, queryOf } from '#postgres';
import { db1FunctionsFor } from './db1/functions.js';
import { createTriggers } from './db1/triggers.js';
import { upgradeDb1 } from './db1/upgrade.js';
import { db2Functions } from './db2/functions.js';
import { upgradeDb2 } from './db2/upgrade.js';
import { findEarlierVersion } from './earlier-version.js';
import { installFunctions } from './install-functions.js';

type Migration = new () => MigrationInterface;
/** Returns a migration for the table of the settings. */
type MigrationFor = (table: TableSettings) => Migration;

/**
 * DB1: the change log, the triggers that write it, and the tables of the API and of reconciliation. Creates the table of the subscriptions
 * where there is none; an existing one gets the triggers and nothing else. The tables of version 0.1 are carried over.
 */
const db1Baseline: MigrationFor = (table) =>
  class Db1Baseline1764600000000 implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      const query = queryOf(runner);
      const earlier = await findEarlierVersion(query, 'DB1');
      if ((await locateTable(query, table)) === undefined) await runner.query(readSql('db1/migrations/0001-subscriptions.sql'));
      await runner.query(readSql('db1/migrations/0001-baseline.sql'));
      const isAllInLog = earlier && (await upgradeDb1(query, earlier, await describeTable(query, 'DB1', table)));
      const described = await describeTable(query, 'DB1', table);
      // A lock that is not granted soon fails the migration, which is retried, so that other programs' writes do not queue behind it.
      await runner.query(`SET LOCAL lock_timeout = '2s'`);
      await runner.query(`LOCK TABLE ${described.sql} IN SHARE ROW EXCLUSIVE MODE`);
      await runner.query(
        `INSERT INTO subscription_sync.installation (was_empty, table_name, key_column) SELECT coalesce($3::boolean, NOT EXISTS (SELECT FROM ${described.sql})), $1, $2`,
        [described.sql, described.keyColumn.name, isAllInLog],
      );
      // The functions may name a column that a later migration adds.
      await runner.query('SET LOCAL check_function_bodies = off');
      await installFunctions(query, await db1FunctionsFor(query, described, DEFAULT_MAPPING));
      await runner.query('SET LOCAL check_function_bodies = on');
      await runner.query(createTriggers(described));
      await runner.query('SET LOCAL lock_timeout = DEFAULT');
    }

    down(): Promise<void> {
      return refuseDown();
    }
  };

/** DB2: what is applied of each email, positions and dead letters. Creates the table of the subscriptions where there is none; an existing one stays as it is. The tables of version 0.1 are carried over. */
const db2Baseline: MigrationFor = (table) =>
  class Db2Baseline1764600000000 implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      const query = queryOf(runner);
      const earlier = await findEarlierVersion(query, 'DB2');
      if ((await locateTable(query, table)) === undefined) await runner.query(readSql('db2/migrations/0001-subscriptions.sql'));
      await runner.query(readSql('db2/migrations/0001-baseline.sql'));
      if (earlier) await upgradeDb2(query, earlier);
      const described = await describeTable(query, 'DB2', table);
      await query('INSERT INTO subscription_sync.installation (table_name, key_column) VALUES ($1, $2)', [
        described.sql,
        described.keyColumn.name,
      ]);
      await installFunctions(query, db2Functions(described));
    }

    down(): Promise<void> {
      return refuseDown();
    }
  };

/** Migrations of DB1, in order. */
export const DB1_MIGRATIONS: readonly MigrationFor[] = [db1Baseline];

/** Migrations of DB2, in order. */
export const DB2_MIGRATIONS: readonly MigrationFor[] = [db2Baseline];

function readSql(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}

function refuseDown(): Promise<void> {
  return Promise.reject(new Error('The baseline cannot be reverted: it would drop the change log'));
}

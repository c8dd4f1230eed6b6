import { readFileSync } from 'node:fs';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { installFunctions } from './db1/functions.js';
import { CREATE_TRIGGERS } from './db1/triggers.js';

/** DB1: `subscriptions` (created or adopted), the change log, the triggers between them, and the tables of the API and of reconciliation. */
class Db1Baseline1764600000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(readSql('db1/migrations/0001-baseline.sql'));
    // The functions may name a column that a later migration adds.
    await runner.query('SET LOCAL check_function_bodies = off');
    await installFunctions((sql) => runner.query(sql));
    await runner.query('SET LOCAL check_function_bodies = on');
    await runner.query(CREATE_TRIGGERS);
  }

  down(): Promise<void> {
    return refuseDown();
  }
}

/** DB2: `subscriptions` (created, or used as it is), what is applied of each email, positions and dead letters. */
class Db2Baseline1764600000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(readSql('db2/migrations/0001-baseline.sql'));
  }

  down(): Promise<void> {
    return refuseDown();
  }
}

/** Migrations of DB1, in order. */
export const DB1_MIGRATIONS = [Db1Baseline1764600000000];

/** Migrations of DB2, in order. */
export const DB2_MIGRATIONS = [Db2Baseline1764600000000];

function readSql(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}

function refuseDown(): Promise<void> {
  return Promise.reject(new Error('The baseline cannot be reverted: it would drop the change log'));
}

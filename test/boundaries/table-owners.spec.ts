import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type TableRule, tableUses, violations } from './table-owners.js';

const PROJECT = resolve(import.meta.dirname, '../..');

/**
 * Owner of each table: the only library that names it in SQL. Other libraries use a function or a piece of SQL that the owner exports. libs/schema, which defines the tables and the functions in the databases, may name all of them. Exceptions are listed with their
 * reason.
 */
const TABLES: Readonly<Record<string, TableRule>> = {
  // The users' own table: sync records its existing rows, reconciliation repairs it, and the API reads it.
  subscriptions: {
    owner: 'subscriptions',
    writers: ['reconciliation', 'sync'],
    readers: ['change-feed', 'import-export', 'replication-status'],
  },
  subscription_changes: { owner: 'change-log' },
  sync_checkpoint: { owner: 'change-log' },
  log_horizon: { owner: 'change-log' },
  idempotency_keys: { owner: 'subscriptions' },
  imports: { owner: 'import-export' },
  api_keys: { owner: 'auth' },
  rate_limits: { owner: 'auth' },
  // The api role reports where a change is with one statement a database, without loading the roles that own these tables.
  unpublishable_changes: { owner: 'sync', readers: ['replication-status'] },
  reconciliation_runs: { owner: 'reconciliation', readers: ['replication-status'] },
  reconciliation_differences: { owner: 'reconciliation', readers: ['replication-status'] },
  replicated_subscriptions: { owner: 'replica', readers: ['replication-status'] },
  replica_positions: { owner: 'replica', readers: ['replication-status'] },
  dead_letters: { owner: 'replica', readers: ['replication-status'] },
};
const NAMES = Object.keys(TABLES);

describe('The SQL of the libraries', () => {
  it('names only tables that the library owns or may read', () => {
    const uses = readdirSync(join(PROJECT, 'libs'))
      .filter((library) => library !== 'schema' && existsSync(join(PROJECT, 'libs', library, 'src')))
      .flatMap((library) => sources(library).flatMap((source) => tableUses(library, source, NAMES)));
    expect(uses.length).toBeGreaterThan(NAMES.length);
    expect(violations(uses, TABLES)).toEqual([]);
  });

  it('has an owner for each table of the migrations', () => {
    const created = ['db1', 'db2'].flatMap((database) => {
      const folder = join(PROJECT, 'libs/schema/src', database, 'migrations');
      return readdirSync(folder).flatMap((file) => createdTables(readFileSync(join(folder, file), 'utf8')));
    });
    expect([...created].sort()).toEqual([...NAMES].sort());
  });
});

describe('A deliberate violation is reported', () => {
  const RULES = { mine: { owner: 'a', readers: ['reader'] } };
  it.each([
    ['a write by another library', 'b', 'const SQL = `INSERT INTO mine (x) VALUES (1)`;', 'writes'],
    ['an update in a common table expression', 'reader', 'query("WITH w AS (UPDATE mine SET x = 1 RETURNING 1) SELECT 1")', 'writes'],
    ['a lock', 'reader', "const SQL = 'LOCK TABLE mine IN SHARE MODE';", 'writes'],
    ['a read by another library', 'b', 'const SQL = `SELECT 1 FROM other JOIN\n  mine m ON true`;', 'reads'],
    ['a read in an interpolated template', 'b', 'const SQL = `SELECT ${columns} FROM mine WHERE ${condition}`;', 'reads'],
    ['a quoted name', 'b', `const SQL = 'SELECT 1 FROM "public"."mine"';`, 'reads'],
  ])('%s', (_title, library, source, use) => {
    expect(violations(tableUses(library, source, ['mine']), RULES)).toEqual([{ library, table: 'mine', use }]);
  });

  it.each([
    ['a write by the owner', 'a', 'const SQL = `DELETE FROM mine`;'],
    ['a read by a reader', 'reader', 'const SQL = `SELECT 1 FROM mine`;'],
    ['a comment', 'b', '/* DELETE FROM mine */ const x = 1; // FROM mine'],
    ['a longer name', 'b', 'const SQL = `SELECT 1 FROM mine_too`;'],
  ])('not so %s', (_title, library, source) => {
    expect(violations(tableUses(library, source, ['mine']), RULES)).toEqual([]);
  });
});

function sources(library: string): string[] {
  const folder = join(PROJECT, 'libs', library, 'src');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .map((file) => readFileSync(join(folder, file), 'utf8'));
}

function createdTables(sql: string): string[] {
  return [...sql.matchAll(/^CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+) \(/gm)].map(([, name]) => name!);
}

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
  // The users' own tables of both databases: sync records existing rows of DB1, reconciliation repairs them, replica writes DB2, and the API
  // reads both.
  subscriptions: {
    owner: 'subscriptions',
    writers: ['reconciliation', 'replica', 'sync'],
    readers: ['change-feed', 'import-export', 'replication-status'],
  },
  'subscription_sync.changes': { owner: 'change-log' },
  'subscription_sync.checkpoint': { owner: 'change-log' },
  // In both databases: libs/schema notes the table, and sync in DB1 what has been done about its rows.
  'subscription_sync.installation': { owner: 'sync' },
  'subscription_sync.log_horizon': { owner: 'change-log' },
  'subscription_sync.pruned_changes': { owner: 'change-log' },
  'subscription_sync.idempotency_keys': { owner: 'subscriptions' },
  'subscription_sync.imports': { owner: 'import-export' },
  'subscription_sync.erasures': { owner: 'erasure' },
  'subscription_sync.api_keys': { owner: 'auth' },
  'subscription_sync.rate_limits': { owner: 'auth' },
  'subscription_sync.audit': { owner: 'audit' },
  // The api role reports where a change is with one statement a database, without loading the roles that own these tables.
  'subscription_sync.unpublishable_changes': { owner: 'sync', readers: ['replication-status'] },
  'subscription_sync.row_keys': { owner: 'reconciliation' },
  'subscription_sync.reconciliation_runs': { owner: 'reconciliation', readers: ['replication-status'] },
  'subscription_sync.reconciliation_differences': { owner: 'reconciliation', readers: ['replication-status'] },
  'subscription_sync.applied': { owner: 'replica', readers: ['replication-status'] },
  'subscription_sync.applied_lately': { owner: 'replica' },
  'subscription_sync.captured': { owner: 'replica' },
  'subscription_sync.positions': { owner: 'replica', readers: ['replication-status'] },
  'subscription_sync.dead_letters': { owner: 'replica', readers: ['replication-status'] },
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
    expect([...new Set(createdTables())].sort()).toEqual([...NAMES].sort());
  });

  it("has the service's tables in its schema", () => {
    expect(createdTables().filter((name) => !name.startsWith('subscription_sync.'))).toEqual(['subscriptions', 'subscriptions']);
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
    ['a write to a table in a schema', 'const SQL = `WITH w AS (DELETE FROM ours.mine RETURNING 1) SELECT 1`;', 'writes'],
    ['a read of a table in a schema', "const SQL = 'SELECT 1 FROM ours.mine m';", 'reads'],
    ['a quoted name in a schema', `const SQL = 'SELECT 1 FROM "ours"."mine"';`, 'reads'],
    ['a name whose schema is interpolated', 'const SQL = `SELECT 1 FROM ${SCHEMA}.mine`;', 'reads'],
  ])('%s', (_title, source, use) => {
    const rules = { 'ours.mine': { owner: 'a' } };
    expect(violations(tableUses('b', source, ['ours.mine']), rules)).toEqual([{ library: 'b', table: 'ours.mine', use }]);
  });

  it.each([
    ['a write to the described table', 'const SQL = `DELETE FROM ${sql} s WHERE s.x = 1`;', 'writes'],
    ['a write to the table of a database', 'const SQL = `INSERT INTO ${db1.table.sql} (x) VALUES (1)`;', 'writes'],
    ['a read of the described table', 'const SQL = `SELECT 1 FROM ours.mine m JOIN ${table.sql} s ON true`;', 'reads'],
  ])('%s', (_title, source, use) => {
    const rules = { subscriptions: { owner: 'a' } };
    expect(violations(tableUses('b', source, ['subscriptions']), rules)).toEqual([{ library: 'b', table: 'subscriptions', use }]);
  });

  it.each([
    ['a write by the owner', 'a', 'const SQL = `DELETE FROM mine`;'],
    ['a read by a reader', 'reader', 'const SQL = `SELECT 1 FROM mine`;'],
    ['a comment', 'b', '/* DELETE FROM mine */ const x = 1; // FROM mine'],
    ['a longer name', 'b', 'const SQL = `SELECT 1 FROM mine_too`;'],
    ['a table of that name in another schema', 'b', 'const SQL = `SELECT 1 FROM other.mine`;'],
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

/** Names of the tables that the migrations create, with their schemas; `%I` stands for that of the users' own table. */
function createdTables(): string[] {
  return ['db1', 'db2'].flatMap((database) => {
    const folder = join(PROJECT, 'libs/schema/src', database, 'migrations');
    const files = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
    return files.flatMap((sql) => [...sql.matchAll(/\bCREATE (?:UNLOGGED )?TABLE (?:%I\.)?([\w.]+) \(/g)].map(([, name]) => name!));
  });
}

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { DEFAULT_MAPPING, type MappingSettings } from '#config';
import { openDataSources } from '../../../test/harness/data-sources.js';
import { World } from '../../../test/harness/world.js';
import { AdaptiveChunk, compare, type OrderedSide, type Side } from './compare-range.js';
import { recheckRows } from './recheck-rows.js';
import { describeTables, orderedRows, rowExpressions } from './row-fingerprint.js';

const ROWS = 50_000;
/** Number of pieces that differ: the first ones, which are listed together. */
const PIECES = 16;

let world: World;
let db1: DataSource;
let db2: DataSource;

beforeAll(async () => {
  world = await World.create();
  [db1, db2] = await openDataSources(world);
  for (const pool of [world.db1, world.db2])
    await pool.query(`
      CREATE TABLE ordered (email text COLLATE "C" PRIMARY KEY, status text NOT NULL);
      CREATE TABLE unordered (email varchar(100) COLLATE "und-x-icu" PRIMARY KEY, status text NOT NULL);
      INSERT INTO ordered SELECT md5(i::text) || '@example.com', 'active' FROM generate_series(1, ${ROWS}) i;
      INSERT INTO unordered SELECT * FROM ordered ORDER BY status;
      ANALYZE ordered; ANALYZE unordered`);
});
afterAll(async () => {
  await Promise.all([db1.destroy(), db2.destroy()]);
  await world.close();
});

function mappingOf(name: string): MappingSettings {
  const table = { schema: 'public', name, key: 'email', status: 'status' };
  return { ...DEFAULT_MAPPING, db1: table, db2: table };
}

/** Returns the database with a function that is called before each statement. */
function observed(database: DataSource, observe: (database: DataSource, sql: string, parameters: unknown[]) => unknown): DataSource {
  const query = async (sql: string, parameters: unknown[]): Promise<unknown> => {
    await observe(database, sql, parameters);
    return database.query(sql, parameters);
  };
  return Object.create(database, { query: { value: query } }) as DataSource;
}

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Returns how many rows of tables a statement reads. */
function rowsRead(node: PlanNode): number {
  const own =
    node['Relation Name'] === undefined ? 0 : (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  return (node.Plans ?? []).reduce((sum, plan) => sum + rowsRead(plan), own);
}

test.each(['ordered', 'unordered'])('only the pieces of a table that differ are read row by row: %s', async (table) => {
  const drift = `
    UPDATE ${table} SET status = 'drifted' WHERE email IN (
      SELECT email FROM (SELECT email, row_number() OVER (ORDER BY email COLLATE "C") AS n FROM ${table}) r WHERE n <= 256 * ${PIECES} AND n % 256 = 1)
    RETURNING email`;
  const { rows: drifted } = await world.db2.query<{ email: string }>(drift);
  const tables = await describeTables(db1, db2, mappingOf(table));
  expect(tables.db1.orderedByBytes).toBe(table === 'ordered');
  const sources = await orderedRows(db1, db2, tables);
  const expressions = rowExpressions(tables);
  let listed = 0;
  const observe = async (database: DataSource, sql: string, parameters: unknown[]): Promise<void> => {
    if (!sql.includes('md5(')) return;
    const [plan] = await database.query<[{ 'QUERY PLAN': [{ Plan: PlanNode }] }]>(`EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`, parameters);
    listed += rowsRead(plan['QUERY PLAN'][0].Plan);
  };
  const [one, two] = sources.map((rows, i): OrderedSide => ({ ...rows, database: observed(rows.database, observe), row: expressions[i]! }));
  const differing: string[] = [];
  for await (const range of compare([one!, two!], '', 'g', new AdaptiveChunk(500))) differing.push(...range.differing);
  expect(differing.sort()).toEqual(drifted.map(({ email }) => email).sort());
  // A piece has 256 rows in each database. A row of an unordered table is read from the list of emails and from the table.
  expect(listed).toBeGreaterThanOrEqual(PIECES * 256 * 2);
  expect(listed).toBeLessThanOrEqual(PIECES * 256 * 4);
});

test('however many rows differ, a statement rechecks at most 5,000, and the lease is renewed in between', async () => {
  const emails = (await world.db1.query<{ email: string }>('SELECT email FROM ordered ORDER BY email LIMIT 12000')).rows.map(
    (row) => row.email,
  );
  const missing = [emails[0]!, emails[7_000]!, emails[11_999]!];
  await world.db2.query('DELETE FROM ordered WHERE email = ANY ($1)', [missing]);
  const tables = await describeTables(db1, db2, mappingOf('ordered'));
  const expressions = rowExpressions(tables);
  let [most, renewals] = [0, 0];
  const observe = (_database: DataSource, _sql: string, parameters: unknown[]): void => {
    for (const list of parameters) most = Math.max(most, (list as unknown[]).length);
  };
  const [one, two] = [db1, db2].map((database, i): Side => ({ database: observed(database, observe), row: expressions[i]! }));
  const found = await recheckRows([one!, two!], tables, emails, async () => {
    renewals += 1;
  });
  for (const email of missing) expect(found.get(email)).toMatchObject({ inDb1: true, inDb2: false });
  expect({ most, renewals }).toEqual({ most: 5_000, renewals: 2 });
});

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import type { MappingSettings } from '#config';
import { db1ConnectionOptions } from '#postgres';
import { World } from '../../../test/harness/world.js';
import { AdaptiveChunk, compare, type OrderedSide } from './compare-range.js';
import { describeTables, orderedRows, rowExpressions } from './row-fingerprint.js';

const ROWS = 50_000;
/** Number of pieces that differ: the first ones, which are listed together. */
const PIECES = 16;
const BUILT_IN = { columns: undefined, statuses: undefined, transitionsFile: undefined } satisfies Partial<MappingSettings>;

let world: World;
let db1: DataSource;
let db2: DataSource;

beforeAll(async () => {
  world = await World.create();
  const open = (part: 'db1' | 'db2'): Promise<DataSource> =>
    new DataSource(db1ConnectionOptions({ ...world.addresses[part], database: world.name, poolSize: 2 })).initialize();
  [db1, db2] = await Promise.all([open('db1'), open('db2')]);
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
  const settings = { schema: 'public', name: table, key: 'email', status: 'status' };
  const mapping = { ...BUILT_IN, db1: settings, db2: settings };
  const drift = `
    UPDATE ${table} SET status = 'drifted' WHERE email IN (
      SELECT email FROM (SELECT email, row_number() OVER (ORDER BY email COLLATE "C") AS n FROM ${table}) r WHERE n <= 256 * ${PIECES} AND n % 256 = 1)
    RETURNING email`;
  const { rows: drifted } = await world.db2.query<{ email: string }>(drift);
  const tables = await describeTables(db1, db2, mapping);
  expect(tables.db1.orderedByBytes).toBe(table === 'ordered');
  const sources = await orderedRows(db1, db2, tables);
  const expressions = rowExpressions(tables);
  let listed = 0;
  const observed = (database: DataSource): DataSource =>
    Object.create(database, {
      query: {
        value: async (sql: string, parameters: unknown[]) => {
          if (sql.includes('md5(')) {
            const [plan] = await database.query<[{ 'QUERY PLAN': [{ Plan: PlanNode }] }]>(
              `EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`,
              parameters,
            );
            listed += rowsRead(plan['QUERY PLAN'][0].Plan);
          }
          return database.query(sql, parameters);
        },
      },
    }) as DataSource;
  const [one, two] = sources.map((rows, i): OrderedSide => ({ ...rows, database: observed(rows.database), row: expressions[i]! }));
  const differing: string[] = [];
  for await (const range of compare([one!, two!], '', 'g', new AdaptiveChunk(500))) differing.push(...range.differing);
  expect(differing.sort()).toEqual(drifted.map(({ email }) => email).sort());
  // A piece has 256 rows in each database. A row of an unordered table is read from the list of emails and from the table.
  expect(listed).toBeGreaterThanOrEqual(PIECES * 256 * 2);
  expect(listed).toBeLessThanOrEqual(PIECES * 256 * 4);
});

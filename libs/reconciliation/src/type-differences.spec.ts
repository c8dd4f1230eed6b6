import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { DEFAULT_MAPPING, type MappingSettings } from '#config';
import { openDataSources } from '../../../test/harness/data-sources.js';
import { World } from '../../../test/harness/world.js';
import { describeTables } from './row-fingerprint.js';
import { findTypeDifferences } from './type-differences.js';

let world: World;
let db1: DataSource;
let db2: DataSource;

beforeAll(async () => {
  world = await World.create();
  [db1, db2] = await openDataSources(world);
});
afterAll(async () => {
  await Promise.all([db1.destroy(), db2.destroy()]);
  await world.close();
});

const differences = async (mapping: MappingSettings = DEFAULT_MAPPING): Promise<string[]> =>
  findTypeDifferences(db1, db2, await describeTables(db1, db2, mapping));

/** Returns the lines for two tables with a column `v`. */
async function between(one: string, two: string): Promise<string[]> {
  for (const [database, definition] of [
    [world.db1, one],
    [world.db2, two],
  ] as const) {
    await database.query(`
      DROP TABLE IF EXISTS t;
      DROP TYPE IF EXISTS mood;
      CREATE TYPE mood AS ENUM (${database === world.db1 ? `'good', 'it''s bad'` : `'good'`});
      CREATE TABLE t (email text PRIMARY KEY, status text, ${definition})`);
  }
  const table = { ...DEFAULT_MAPPING.db1, name: 't' };
  return differences({ ...DEFAULT_MAPPING, db1: table, db2: table });
}

test('tables as the service creates them have none', async () => {
  expect(await differences()).toEqual([]);
});

test.each([
  ['varchar(20)', 'varchar(10)', 'longer values are refused', 'TYPE character varying(20)'],
  ['text', 'varchar(10)', 'longer values are refused', 'TYPE text'],
  ['mood', 'varchar(4)', 'longer values are refused', 'TYPE public.mood'],
  ['text', 'int', 'values that do not fit are refused', 'TYPE text'],
  ['bigint', 'int', 'larger numbers are refused', 'TYPE bigint'],
  ['numeric(10,3)', 'numeric(10,2)', 'values are rounded to 2 decimal places', 'TYPE numeric(10,3)'],
  ['numeric(10,2)', 'numeric(6,2)', 'larger numbers are refused', 'TYPE numeric(10,2)'],
  ['numeric', 'numeric(6,2)', 'values are rounded to 2 decimal places, and larger numbers are refused', 'TYPE numeric'],
  ['numeric', 'bigint', 'fractions and larger numbers are refused', 'TYPE numeric'],
  ['numeric', 'float8', 'digits beyond its precision are lost', 'TYPE numeric'],
  ['timestamp', 'timestamptz', 'times are taken for UTC', 'TYPE timestamp without time zone'],
  ['timestamptz', 'timestamp', 'times are stored in UTC', 'TYPE timestamp with time zone'],
  ['timestamptz', 'timestamptz(3)', 'seconds are rounded to 3 decimal places', 'TYPE timestamp with time zone'],
  ['timestamptz', 'date', 'the time of day is lost', 'TYPE timestamp with time zone'],
  ['mood', 'mood', `rows with it's bad are refused`, `ALTER TYPE public.mood ADD VALUE 'it''s bad'`],
  ['text', 'mood', 'values other than good are refused', 'TYPE text'],
])('%s to %s is told with the statement that corrects it', async (one, two, effect, remedy) => {
  expect(await between(`"V" ${one}`, `"V" ${two}`)).toEqual([expect.stringMatching(/^DB2\.t\.V is .*, and DB1\.t\.V is /)]);
  const [line] = await between(`"V" ${one}`, `"V" ${two}`);
  expect(line).toContain(`: ${effect}. In Database 2: `);
  expect(line!.endsWith(remedy)).toBe(true);
});

test.each([
  ['varchar(10)', 'varchar(20)'],
  ['bigint', 'text'],
  ['mood', 'varchar(8)'],
  ['int', 'numeric(10,0)'],
  ['int', 'bigint'],
  ['numeric(8,2)', 'numeric(10,2)'],
  ['timestamptz(3)', 'timestamptz'],
  ['json', 'jsonb'],
  ['text[]', 'text[]'],
])('%s to %s loses nothing', async (one, two) => {
  expect(await between(`"V" ${one}`, `"V" ${two}`)).toEqual([]);
});

test('a column that must not be NULL is told where Database 1 may have NULL, or has no such column', async () => {
  expect(await between('v int', 'v int NOT NULL')).toEqual([
    'DB2.t.v is NOT NULL, and DB1.t.v may be NULL: such rows are refused. In Database 2: ALTER TABLE public.t ALTER COLUMN "v" DROP NOT NULL',
  ]);
  expect(await between('v int NOT NULL', 'v int NOT NULL, "Who" text NOT NULL')).toEqual([
    expect.stringMatching(
      /^DB2\.t\.Who is NOT NULL without a default, and is not replicated: all new rows .* ALTER COLUMN "Who" SET DEFAULT/,
    ),
  ]);
  expect(await between('v int NOT NULL', `v int NOT NULL, w text NOT NULL DEFAULT '', x int GENERATED ALWAYS AS IDENTITY`)).toEqual([]);
});

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS } from '#config';
import { World } from '../../../test/harness/world.js';
import { prepared } from './client.js';
import { db1ConnectionOptions } from './connection-options.js';
import { Database } from './database.js';

let world: World;
let database: Database;

const INSERT = prepared('INSERT INTO public.numbers (n) VALUES ($1) RETURNING *');
const pid = async (): Promise<number> => (await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]!.pid;
const numbers = async (): Promise<number[]> =>
  (await world.db1.query<{ n: number }>('SELECT n FROM numbers ORDER BY n')).rows.map(({ n }) => n);

/** The pool has one connection, so that each statement meets the state that the previous one left. */
beforeAll(async () => {
  world = await World.create();
  await world.db1.query('CREATE TABLE numbers (n integer)');
  database = new Database(
    'db1',
    new DataSource(db1ConnectionOptions({ ...world.addresses.db1, database: world.name, poolSize: 1 })),
    DEFAULT_TIMINGS.postgres,
  );
  database.start();
  await database.ready;
});

afterAll(async () => {
  await database.dataSource.destroy();
  await world.close();
});

test('a prepared statement is parsed once per connection', async () => {
  for (const n of [1, 2, 3]) expect(await database.queryPrepared(INSERT, [n])).toEqual([{ n }]);
  const statements = await database.query('SELECT statement, (generic_plans + custom_plans)::int AS plans FROM pg_prepared_statements');
  expect(statements).toEqual([{ statement: INSERT.text, plans: 3 }]);
});

test('a prepared statement survives a migration that changes its columns: it runs once, and its connection is replaced', async () => {
  const before = await pid();
  await world.db1.query(`ALTER TABLE numbers ADD COLUMN word text DEFAULT 'new'`);
  expect(await database.queryPrepared(INSERT, [4])).toEqual([{ n: 4, word: 'new' }]);
  expect(await pid()).not.toBe(before);
  expect(await numbers()).toEqual([1, 2, 3, 4]);
});

test('a prepared statement survives DEALLOCATE ALL', async () => {
  await database.queryPrepared(INSERT, [5]);
  await database.query('DEALLOCATE ALL');
  expect(await database.queryPrepared(INSERT, [6])).toEqual([{ n: 6, word: 'new' }]);
  expect(await numbers()).toEqual([1, 2, 3, 4, 5, 6]);
});

test('an error of a prepared statement is passed on unchanged, and its connection is kept', async () => {
  const before = await pid();
  await expect(database.queryPrepared(INSERT, ['no number'])).rejects.toMatchObject({ code: '22P02' });
  expect(await pid()).toBe(before);
});

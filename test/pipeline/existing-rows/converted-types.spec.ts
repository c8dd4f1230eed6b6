import { expect, test } from '@jest/globals';
import { escapeLiteral } from 'pg';
import { eventually, problemOf, readinessOf } from '../../harness/eventually.js';
import { majorVersion } from '../../harness/tested-versions.js';
import { World } from '../../harness/world.js';
import { definitions, expectEqual, expectRun, TYPES } from './exact-text.js';

/** Columns with another type in DB2: both types, a value that fits, and one that DB2 refuses, with the SQLSTATE. */
const CONVERTED: readonly (readonly [db1: string, db2: string, fitting: string, refused?: string, sqlstate?: string])[] = [
  ['mood', 'text', "it's"],
  ['text', 'mood', "it's", 'nobody knows', '22P02'],
  ['varchar(20)', 'varchar(10)', 'ten letter', 'eleven lett', '22001'],
  ['timestamp', 'timestamptz', '2026-01-02 03:04:05.678901'],
  ['timestamptz', 'timestamp', '2026-01-02 03:04:05.678901+00'],
  ['timestamptz', 'text', '2026-01-02 03:04:05.6+00'],
  ['timestamptz', 'date', '2026-01-02 03:04:05.6+00'],
  ['date', 'timestamp', '2026-01-02', '5874897-12-31', '22008'],
  ['int', 'bigint', '2147483647'],
  ['int', 'numeric(10,2)', '5'],
  ['bigint', 'int', '5', '9007199254740993', '22003'],
  ['numeric', 'int', '5', '1.5', '22P02'],
  ['numeric(10,4)', 'numeric(6,2)', '1.2345', '12345.6', '22003'],
  ['double precision', 'real', '0.1', '1e300', '22003'],
  ['boolean', 'text', 'true'],
  ['boolean', 'int', '', 'true', '22P02'],
  ['char(5)', 'text', 'ab'],
  ['text', 'char(5)', 'ab', 'abcdef', '22001'],
  ['json', 'jsonb', '{"b": 1,  "a": 1.50}', '"\\u0000"', '22P05'],
  ['json', 'json', '{"b": 1,  "a": 1.50}', '{"a\\u0000": 1}', '22P05'],
  ['json', 'jsonb', 'null', '1e1000000', '22003'],
  ['jsonb', 'json', '{"b": 1, "a": 1.50}'],
  ['jsonb', 'jsonb', 'null'],
  ['jsonb', 'text', '{"b": 1, "a": 1.50}'],
  ['text', 'jsonb', '{"b": 1}'],
  ['text', 'date', '2026-01-31', 'no date', '22007'],
  ['text', 'interval', '1 year', 'soon', '22007'],
  ['text', 'numeric', 'NaN', 'many', '22P02'],
  ['text', 'hstore', '"a"=>"1"', 'a=>', '42601'],
  ['text', 'ltree', 'a.b', 'a..b', '42601'],
  ['text', 'tsquery', "'a'", 'a &', '42601'],
  ['text', 'regclass', 'pg_class', 'missing_table', '42P01'],
  ['text', 'regtype', 'integer', 'no.such', '3F000'],
  ['int', 'positive', '1', '-1', '23514'],
  ['text', 'short', 'abc', 'abcdef', '23514'],
  ['text', 'int4range', '[1,5)', '[2,1)', '22000'],
  ['text', 'span', '[1,5)', '1-5', '22P02'],
  ['text', 'place', '(a,1,)', '(a', '22P02'],
  ['text', 'int[]', '{1,2}', '{1', '22P02'],
  ['int[]', 'bigint[]', '[2:3]={1,2}'],
  ['text', 'bit(3)', '101', '10', '22026'],
  ['text', 'bytea', '\\x00ff', '\\xzz', '22023'],
  ['text', 'uuid', '00000000-0000-0000-0000-000000000001', 'none', '22P02'],
  ['text', 'inet', '10.0.0.1', '10.0.0', '22P02'],
];

/** The first version whose hstore has a SQLSTATE for a wrong text; before, it was an internal error. */
const HSTORE_REPORTS_SYNTAX = 16;

test('a value that DB2 refuses is a dead letter of its row, and a comparison reports the row and goes on', () =>
  World.lend(
    async (world) => {
      const columns = CONVERTED.map(([db1, db2, fitting, refused, sqlstate], i) => ({
        name: `c${i}`,
        db1,
        db2,
        fitting: fitting === '' ? null : fitting,
        refused,
        sqlstate,
      }));
      for (const pool of [world.db1, world.db2]) await pool.query(`${TYPES}; ALTER DOMAIN positive DROP NOT NULL`);
      const create = (side: 'db1' | 'db2'): Promise<unknown> =>
        world[side].query(
          `CREATE TABLE subscriptions (email text PRIMARY KEY, status text, ${definitions(columns.map((column) => ({ name: column.name, type: column[side] })))})`,
        );
      await create('db1');
      await create('db2');
      const refused = columns.filter((column) => column.refused !== undefined);
      const write = async (prefix: string): Promise<void> => {
        const fits = columns.map(({ fitting }) => (fitting === null ? 'NULL' : escapeLiteral(fitting))).join(', ');
        await world.db1.query(
          `INSERT INTO subscriptions SELECT '${prefix}-' || i || '@example.com', 'active', ${fits} FROM generate_series(1, 20) i`,
        );
        for (const column of refused)
          await world.db1.query(`INSERT INTO subscriptions (email, status, ${column.name}) VALUES ($1, 'active', $2)`, [
            `${prefix}-refused-${column.name}@example.com`,
            column.refused,
          ]);
      };
      const emails = `SELECT email FROM subscriptions WHERE email NOT LIKE '%refused%' ORDER BY email COLLATE "C"`;
      const letters = async (prefix: string): Promise<Record<string, string>> => {
        const { rows } = await world.db2.query<{ key: string; code: string }>(
          `SELECT convert_from(key, 'UTF8') AS key, max(error_class) AS code FROM subscription_sync.dead_letters GROUP BY key`,
        );
        return Object.fromEntries(rows.filter(({ key }) => key.startsWith(prefix)).map(({ key, code }) => [key, code]));
      };
      const version = await majorVersion(world.db2);
      const stateOf = ({ db2: type, sqlstate }: { db2: string; sqlstate: string | undefined }): string =>
        type === 'hstore' && version < HSTORE_REPORTS_SYNTAX ? 'XX000' : sqlstate!;
      const expected = (prefix: string): Record<string, string> =>
        Object.fromEntries(refused.map((column) => [`${prefix}-refused-${column.name}@example.com`, stateOf(column)]));
      const expectLetters = async (prefix: string): Promise<void> => {
        await eventually(async () => Object.keys(await letters(prefix)).length === refused.length).catch(() => undefined);
        expect(await letters(prefix)).toEqual(expected(prefix));
      };

      await write('existing');
      await world.start();
      await world.ready();
      await expectLetters('existing');
      await expectEqual(world, emails);
      await write('later');
      await expectLetters('later');
      await expectEqual(world, emails);
      expect((await readinessOf(world.url)).status).toBe('ok');
      await expectRun(world, { outcome: 'differs', differing: 2 * refused.length, repaired: 0 });

      // A row that can be read again is repaired, and so is one whose value fits.
      await world.db2.query(`UPDATE subscriptions SET c0 = 'wrong' WHERE email = 'later-1@example.com'`);
      await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE '%refused%'`);
      await expectRun(world, { outcome: 'repaired', differing: 1, repaired: 1 });
    },
    { unmigrated: true },
  ));

test('COLUMNS may name a column that DB2 numbers by default, and not one that it always numbers or computes', async () => {
  const create = async (world: World, definition: string): Promise<void> => {
    await world.db1.query(`CREATE TABLE subscriptions (email text PRIMARY KEY, status text, n int);
      INSERT INTO subscriptions VALUES ('ada@example.com', 'active', 7)`);
    await world.db2.query(`CREATE TABLE subscriptions (email text PRIMARY KEY, status text, n int GENERATED ${definition})`);
    await world.start();
  };
  const options = { unmigrated: true, env: { COLUMNS: 'n' } };
  await World.lend(async (world) => {
    await create(world, 'BY DEFAULT AS IDENTITY');
    await world.ready();
    await expectEqual(world, 'SELECT email, n FROM subscriptions');
  }, options);
  await World.lend(async (world) => {
    await create(world, 'ALWAYS AS IDENTITY');
    await world.db1.query('UPDATE subscriptions SET n = 8');
    await eventually(async () =>
      /column n of DB2\.subscriptions is computed or always numbered/.test((await problemOf(world.url, 'replica')) ?? ''),
    );
    expect(await problemOf(world.url, 'replica')).toMatch(/take it out of COLUMNS, or make it an ordinary column/);
  }, options);
});

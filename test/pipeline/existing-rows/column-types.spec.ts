import { expect, test } from '@jest/globals';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { readinessOf } from '../../harness/eventually.js';
import { majorVersion } from '../../harness/tested-versions.js';
import { World } from '../../harness/world.js';
import { definitions, exact, expectEqual, expectRun, textOf, TYPES } from './exact-text.js';

/** Columns that both tables have with the same type: their type, and two values. */
const SAME: readonly (readonly [type: string, first: string, second: string])[] = [
  ['smallint', '-32768', '1'],
  ['bigint', '9007199254740993', '-9223372036854775808'],
  ['numeric', 'NaN', '12345678901234567890123.4500'],
  ['numeric', '-Infinity', '1e-40'],
  ['numeric(30,10)', '12345678901234567890.0000000001', '1.5'],
  ['real', '-0', '3.4028235e38'],
  ['double precision', '-0', '5e-324'],
  ['double precision', 'NaN', '0.30000000000000004'],
  ['double precision', '-Infinity', '1.7976931348623157e308'],
  ['money', '-1234.56', '$92,233,720,368,547,758.07'],
  ['boolean', 'true', 'false'],
  ['text', 'a "quoted", \\ text\n\twith 𝄞 \u2028', "it's"],
  ['varchar(20)', 'a', ''],
  ['char(5)', 'ab', 'abcde'],
  ['name', 'Name', 'other'],
  ['"char"', 'x', '\\'],
  ['citext', 'MiXed', 'mixed'],
  ['bytea', '\\x00ff5c27', '\\x'],
  ['bit(3)', '101', '000'],
  ['varbit', '10101', '0'],
  ['date', '-infinity', '0044-03-15 BC'],
  ['date', '5874897-12-31', '0001-01-01'],
  ['timestamp', 'infinity', '0044-03-15 12:00:00.000001 BC'],
  ['timestamp', '294276-12-31 23:59:59.999999', '2026-02-03 04:05:06.1'],
  ['timestamptz', '-infinity', '4713-11-24 00:00:00+00 BC'],
  ['timestamptz', '294276-12-31 23:59:59.999999+00', '2026-02-03 04:05:06.123456+05:45'],
  ['time', '24:00', '00:00:00.000001'],
  ['timetz', '12:00:00.5+05:45', '00:00:00-12'],
  ['interval', '1 year -2 months 3 days -04:05:06.000007', '-1 days +02:03:00'],
  ['uuid', '00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  ['json', '{"b": 1,  "a": 1.50, "a": 1e400}', '[12345678901234567890123.123456789012345678901234567890]'],
  ['jsonb', '{"n": 1e400, "m": 1.50}', '12345678901234567890123.123456789012345678901234567890'],
  ['json[]', '{"{\\"a\\": 1e400}"}', '{}'],
  ['jsonb[]', '{"{\\"a\\": 1.50}",NULL}', '{}'],
  ['jsonpath', '$."a"[*]?(@ > 1.5)', 'strict $'],
  ['point', '(0.1,-2.5e-300)', '(0,0)'],
  ['line', '{1,-1,0.1}', '{0,1,0}'],
  ['lseg', '[(0,0),(1,0.1)]', '[(1,1),(2,2)]'],
  ['box', '(1,1),(0,0.1)', '(2,2),(1,1)'],
  ['path', '[(0,0),(1,1)]', '((0,0),(1,1))'],
  ['polygon', '((0,0),(1,1),(1,0))', '((0,0))'],
  ['circle', '<(0,0),0.1>', '<(1,1),1>'],
  ['inet', '192.168.0.1/24', '::1'],
  ['cidr', '10.0.0.0/8', '2001:db8::/32'],
  ['macaddr', '08:00:2b:01:02:03', '00:00:00:00:00:00'],
  ['tsvector', "'a ''quoted'' word':1A,2", ''],
  ['tsquery', "'a' & ! 'b':*", "'c' <2> 'd'"],
  ['int4range', '[1,5)', 'empty'],
  ['numrange', '(,1.50]', '[NaN,)'],
  ['daterange', '[-infinity,infinity)', '["0044-03-15 BC",2026-01-01)'],
  ['tstzrange', '["2026-01-01 00:00:00+05:45",)', 'empty'],
  ['datemultirange', '{[2026-01-01,2026-02-01),[2027-01-01,)}', '{}'],
  ['span', '[0.1,1e300)', 'empty'],
  ['int[]', '[2:3]={1,2}', '{}'],
  ['text[]', '{{a,"b c"},{NULL,"null"}}', '{"","\\"",\\\\}'],
  ['timestamptz[]', '{infinity,"2026-01-01 00:00:00+05:45"}', '[-1:-1]={"0044-03-15 00:00:00+00 BC"}'],
  ['float8[]', '{-0,NaN,0.1}', '{1e-320}'],
  ['interval[]', '{"1 year -2 mons"}', '{}'],
  ['bytea[]', '{"\\\\x00"}', '{}'],
  ['mood', "it's", 'comma, "quoted"'],
  ['mood', 'back\\slash', 'Ünïcode'],
  ['mood[]', '{it\'s,"comma, \\"quoted\\""}', '{}'],
  ['place', '("a, b",,"(1,0.1)")', '(,,)'],
  ['place[]', '{"(\\"a \\"\\"b\\"\\"\\",1,)"}', '{NULL}'],
  ['short', 'abc', ''],
  ['positive', '1', '2147483647'],
  ['weekdays', '{1,2}', '[0:0]={7}'],
  ['hstore', '"a"=>"1", "b c"=>NULL', '"k\\""=>"v"'],
  ['ltree', 'Top.Science', 'a'],
  ['cube', '(1, 2),(3, 4)', '(0)'],
  ['isbn13', '978-0-393-04002-9', '978-3-16-148410-0'],
  ['pg_lsn', '16/B374D848', '0/0'],
  ['xid8', '18446744073709551615', '1'],
  ['pg_snapshot', '10:20:10,14', '1:1:'],
  ['regtype', 'integer', 'double precision'],
];

interface Column {
  readonly name: string;
  readonly type: string;
  readonly first: string;
  readonly second: string;
}

/** Names that SQL and JSON quote; the rest is numbered. More columns than a function has arguments. */
const NAMES = ['order', 'user', 'Price "net", €', "it's", 'back\\slash', 'version', 'text', 's', 'new'];
const COLUMNS: readonly Column[] = [
  ...SAME,
  ...Array.from({ length: 40 }, (_, i) => [i < 10 ? 'positive' : 'int', '1', String(i + 2)] as const),
].map(([type, first, second], i) => ({ name: NAMES[i] ?? `c${i}`, type, first, second }));

/** Settings that change how values are printed and read. */
const HOSTILE = {
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'iso_8601',
  TimeZone: 'Asia/Kathmandu',
  extra_float_digits: '-15',
  bytea_output: 'escape',
  lc_monetary: 'de_DE.UTF-8',
  xmlbinary: 'hex',
  xmloption: 'document',
  array_nulls: 'off',
  quote_all_identifiers: 'on',
};

test.concurrent.each(['wal', 'poll'] as const)(
  'values of every type are replicated, compared and repaired, whatever the databases set, by %s',
  (capture) =>
    World.lend(
      async (world) => {
        for (const pool of [world.db1, world.db2]) {
          await pool.query(TYPES);
          for (const [name, value] of Object.entries(HOSTILE)) {
            // The server may lack the locale.
            await pool.query(`ALTER DATABASE ${world.name} SET ${name} = ${escapeLiteral(value)}`).catch((error: unknown) => {
              if (name !== 'lc_monetary') throw error;
            });
          }
        }
        const values = COLUMNS.map(({ first }) => escapeLiteral(first)).join(', ');
        const insert = (prefix: string, count: number): string => `
        INSERT INTO subscriptions (email, status, ${COLUMNS.map(({ name }) => escapeIdentifier(name)).join(', ')})
        SELECT '${prefix}' || i || '@example.com', 'active', ${values} FROM generate_series(0, ${count - 1}) i`;
        // Versions before 18 store what they compute.
        const virtual = (await majorVersion(world.db1)) < 18 ? 'STORED' : 'VIRTUAL';
        await exact(
          world.db1,
          `CREATE TABLE subscriptions (
          email text PRIMARY KEY, status text, ${definitions(COLUMNS)}, base int DEFAULT 1, plain text DEFAULT 'db1', numbered int DEFAULT 7, counted int DEFAULT 7,
          stored int GENERATED ALWAYS AS (base * 2) STORED, virtual int GENERATED ALWAYS AS (base * 3) ${virtual},
          "virtual numeric" numeric GENERATED ALWAYS AS (base / 8.0) ${virtual})`,
        );
        await exact(
          world.db2,
          `CREATE TABLE subscriptions (
          email text PRIMARY KEY, status text, ${definitions(COLUMNS)}, base int, plain text GENERATED ALWAYS AS ('db2') STORED,
          numbered int GENERATED ALWAYS AS IDENTITY, counted int GENERATED BY DEFAULT AS IDENTITY, stored int, virtual int, "virtual numeric" numeric)`,
        );
        await exact(world.db1, insert('c', COLUMNS.length));
        await world.start();
        await world.ready();
        const all = `SELECT email, base, stored, virtual, "virtual numeric"::text, ${textOf(COLUMNS)} FROM subscriptions s ORDER BY email COLLATE "C"`;
        await expectEqual(world, all);
        await expectRun(world, { outcome: 'equal', compared: COLUMNS.length });
        const [before] = await exact(world.db1, `SELECT ${textOf(COLUMNS)} FROM subscriptions s WHERE email = 'c0@example.com'`);
        await exact(world.db1, insert('new', 2));
        const set = COLUMNS.map(({ name, second }) => `${escapeIdentifier(name)} = ${escapeLiteral(second)}`).join(', ');
        await exact(world.db1, `UPDATE subscriptions SET base = 2, ${set} WHERE email <> 'new1@example.com'`);
        await expectEqual(world, all);
        const [change] = await exact(
          world.db1,
          `SELECT previous FROM subscription_sync.changes WHERE email = 'c0@example.com' AND operation = 'updated'`,
        );
        const previous = change!['previous'] as string;
        expect(
          await exact(world.db1, `SELECT ${textOf(COLUMNS)} FROM json_to_record($1) AS s (${definitions(COLUMNS)})`, [previous]),
        ).toEqual([before]);
        expect(JSON.parse(previous)).toMatchObject({ base: 1, stored: 2 });
        expect(
          await exact(world.db2, `SELECT DISTINCT plain, numbered < 1000 AS own, counted < 1000 AS counts FROM subscriptions`),
        ).toEqual([{ plain: 'db2', own: true, counts: true }]);

        const drifted = COLUMNS.filter(({ first, second }) => first !== second);
        const drifts = drifted.map(
          ({ name, first }, i) =>
            `UPDATE subscriptions SET ${escapeIdentifier(name)} = ${escapeLiteral(first)} WHERE email = 'c${i}@example.com'`,
        );
        await exact(world.db2, drifts.join(';'));
        await expectRun(world, { outcome: 'repaired', differing: drifted.length, repaired: drifted.length });
        await expectEqual(world, all);
        await exact(world.db1, 'TRUNCATE subscriptions');
        await expectEqual(world, all);
        const { status } = await readinessOf(world.url);
        expect(status).toBe('ok');
        const { rows: letters } = await world.db2.query('SELECT error_class, error FROM subscription_sync.dead_letters');
        expect(letters).toEqual([]);
      },
      { capture, unmigrated: true },
    ),
);

test('a domain over json may have what jsonb refuses: no write fails, and the log has the value', () =>
  World.lend(
    async (world) => {
      await world.db1.query(
        'CREATE DOMAIN doc AS json; CREATE TABLE subscriptions (email text PRIMARY KEY, status text, doc doc, plain json)',
      );
      await world.start();
      await world.ready();
      const values = [String.raw`{"a": "\u0000"}`, '[1e1000000]', String.raw`"\\u0000"`];
      for (const [i, value] of values.entries()) {
        await world.db1.query(`INSERT INTO subscriptions VALUES ($1, 'active', $2)`, [`d${i}@example.com`, value]);
      }
      await world.db1.query(`UPDATE subscriptions SET status = 'paused'`);
      await world.db1.query('DELETE FROM subscriptions');
      const { rows } = await world.db1.query<{ image: string; previous: string | null }>(
        'SELECT image, previous FROM subscription_sync.changes ORDER BY email, version',
      );
      expect(rows.map(({ image }) => (JSON.parse(image) as { doc: unknown }).doc)).toEqual(
        values.flatMap((value) => [value, value, value]),
      );
      expect(rows.flatMap(({ previous }) => previous ?? [])).toEqual(values.map(() => '{"status":"active"}'));
    },
    { unmigrated: true, servers: [['api']] },
  ));

test.each(['wal', 'poll'] as const)('xml is replicated by %s, if the server supports it', (capture) =>
  World.lend(
    async (world) => {
      const isSupported = await world.db1.query(`SELECT '<a/>'::xml`).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: '0A000' });
          return false;
        },
      );
      if (!isSupported) {
        process.stdout.write('This PostgreSQL was built without libxml: replication of xml was not tested\n');
        return;
      }
      for (const pool of [world.db1, world.db2]) {
        await pool.query('CREATE TABLE subscriptions (email text PRIMARY KEY, status text, page xml)');
      }
      await world.start();
      await world.ready();
      await world.db1.query(`INSERT INTO subscriptions VALUES ('x@example.com', 'active', '<a b="1">é<!-- c --></a>')`);
      await world.db1.query(`UPDATE subscriptions SET page = 'text &amp; <b/>'`);
      const query = 'SELECT email, page::text AS page FROM subscriptions';
      await expectEqual(world, query);
      expect((await world.db2.query(query)).rows).toEqual([{ email: 'x@example.com', page: 'text &amp; <b/>' }]);
    },
    { capture, unmigrated: true },
  ),
);

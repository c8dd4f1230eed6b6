import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { changesOf, expectEqualDatabases, storyOf } from '../../harness/databases.js';
import { definitionOf, snapshotOf } from '../../harness/definition.js';
import { eventually, problemOf, readinessOf } from '../../harness/eventually.js';
import { Random } from '../../harness/random-operations.js';
import { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

/** Number of existing rows: several chunks. */
const ROWS = 5_000;

let world: World;
const sql = (text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }> => world.db1.query(text, values);

beforeEach(async () => {
  world = await World.create({ unmigrated: true });
});
afterEach(() => world.close());

const started = async (): Promise<void> => {
  await world.start();
  await world.ready();
};

const problemOfDb1 = (): Promise<string> => eventually(() => problemOf(world.url, 'db1'));

/** Expects that a query has the same result in both databases within a time limit. */
async function expectEqual(query: string): Promise<void> {
  const read = async (pool: World['db1']): Promise<unknown[]> => (await pool.query(query)).rows;
  await eventually(async () => JSON.stringify(await read(world.db1)) === JSON.stringify(await read(world.db2))).catch(() => undefined);
  expect(await read(world.db2)).toEqual(await read(world.db1));
}

describe('a table that another program created is replicated as it is', () => {
  test('with its own types, columns and triggers, which stay', async () => {
    await sql(`
      CREATE TYPE state AS ENUM ('active', 'paused', 'canceled');
      CREATE TABLE subscriptions (
        id serial PRIMARY KEY,
        email varchar(320) NOT NULL UNIQUE,
        status state NOT NULL DEFAULT 'active',
        "Price ""net"", €" numeric(30, 10),
        raw json,
        tags text[] NOT NULL DEFAULT '{}',
        touched int NOT NULL DEFAULT 0
      );
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END $$;
      CREATE TRIGGER touch BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION touch();
      INSERT INTO subscriptions (email, "Price ""net"", €", raw)
      SELECT 'User' || i || '@Example.com', 12345678901234567890.0000000001, '{"a": 1}' FROM generate_series(1, 50) i`);
    await world.db2.query(`
      CREATE TABLE subscriptions (email text PRIMARY KEY, status text, "Price ""net"", €" numeric, raw jsonb, tags text[], touched int)`);
    const before = await definitionOf(world.db1);
    await started();
    const rows =
      'SELECT email, status, "Price ""net"", €"::text AS price, raw::jsonb, tags, touched FROM subscriptions ORDER BY email COLLATE "C"';
    await expectEqual(rows);
    await sql(`UPDATE subscriptions SET raw = '{"a":  2}', "Price ""net"", €" = 1.5, tags = '{a,"b c"}' WHERE email = 'User1@Example.com'`);
    await sql(`UPDATE subscriptions SET status = 'paused' WHERE email = 'User2@Example.com'`);
    const response = await fetch(`${world.url}/subscriptions/user3@example.com`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: '{"status":"canceled"}',
    });
    expect(await response.json()).toMatchObject({ email: 'User3@Example.com', status: 'canceled' });
    await expectEqual(rows);
    const changes = await changesOf(world.db1);
    expect(changes.filter(({ operation }) => operation === 'created')).toHaveLength(50);
    const [first, second] = changes.filter(({ operation }) => operation === 'updated');
    expect(first!.previous).toEqual({
      'Price "net", €': Number('12345678901234567890.0000000001'),
      raw: { a: 1 },
      tags: '{}',
      touched: 0,
    });
    expect(first!.event).toContain('12345678901234567890.0000000001');
    expect(second!.previous).toEqual({ status: 'active', touched: 0 });
    const after = await definitionOf(world.db1);
    expect(before.filter((line) => !after.includes(line))).toEqual([]);
    const added = after.filter((line) => !before.includes(line));
    expect(added.filter((line) => !/aa_subscription_sync_|^\{.*"publi/.test(line))).toEqual([]);
  });

  test('when it is partitioned by email', async () => {
    await sql(`
      CREATE TABLE subscriptions (email text PRIMARY KEY, status text) PARTITION BY HASH (email);
      CREATE TABLE s0 PARTITION OF subscriptions FOR VALUES WITH (MODULUS 2, REMAINDER 0);
      CREATE TABLE s1 PARTITION OF subscriptions FOR VALUES WITH (MODULUS 2, REMAINDER 1);
      INSERT INTO subscriptions SELECT 'user' || i || '@example.com', 'active' FROM generate_series(1, 40) i`);
    await started();
    await expectEqual(ROWS_OF_TWO);
    await sql(`UPDATE subscriptions SET email = 'renamed-' || email, status = 'paused'`);
    await expectEqual(ROWS_OF_TWO);
  });

  test('and a column that is added while the service runs is replicated at once', async () => {
    await started();
    await sql(`ALTER TABLE subscriptions ADD COLUMN seats int DEFAULT 3`);
    await world.db2.query('ALTER TABLE subscriptions ADD COLUMN seats int');
    await sql(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
    await sql(`UPDATE subscriptions SET seats = 5`);
    await world.stop();
    await started();
    await sql(`UPDATE subscriptions SET seats = 6`);
    await eventually(async () => (await world.db2.query(`SELECT FROM subscriptions WHERE seats = 6`)).rowCount === 1);
    const images = await changesOf(world.db1);
    expect(images.map(({ image }) => image['seats'])).toEqual([3, 5, 6]);
    expect(images.at(-1)!.previous).toEqual({ seats: 5 });
  });
});

describe('emails stay as their writers wrote them', () => {
  const TABLE = 'CREATE TABLE subscriptions (email text UNIQUE, status text)';

  test('and their changes have the normalised email as key', async () => {
    await sql(`${TABLE}; INSERT INTO subscriptions VALUES ('Ada@example.com', 'active'), ('Eve@example.com', 'active')`);
    await started();
    await expectEqual(ROWS_OF_TWO);
    await sql(`UPDATE subscriptions SET status = 'paused' WHERE email = 'Ada@example.com'`);
    await sql(`UPDATE subscriptions SET email = 'EVE@example.com', status = 'paused' WHERE email = 'Eve@example.com'`);
    await sql(`INSERT INTO subscriptions VALUES (' New@Example.com ', 'active')`);
    await expectEqual(ROWS_OF_TWO);
    await sql(`DELETE FROM subscriptions WHERE email = 'EVE@example.com'`);
    await sql(`UPDATE subscriptions SET email = 'ada@example.com' WHERE email = 'Ada@example.com'`);
    await expectEqual(ROWS_OF_TWO);
    const story = (await storyOf(world.db1)).filter(
      (entry) => !entry.includes('canary') && !entry.startsWith('created ada') && !entry.startsWith('created eve'),
    );
    expect(story).toEqual([
      'updated ada@example.com',
      'updated eve@example.com',
      'created new@example.com',
      'deleted eve@example.com',
      'updated ada@example.com',
    ]);
  });

  test('and of two rows with the same key the newest change wins, and the other row is reported', async () => {
    await sql(TABLE);
    await started();
    await sql(`INSERT INTO subscriptions VALUES ('Ada@example.com', 'active')`);
    await sql(`INSERT INTO subscriptions VALUES ('ada@example.com', 'paused')`);
    const inDb2 = async (): Promise<unknown[]> => (await world.db2.query('SELECT email, status FROM subscriptions')).rows;
    await eventually(async () => JSON.stringify(await inDb2()) === JSON.stringify([{ email: 'ada@example.com', status: 'paused' }]));
    const run = await requested(world, {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'differs', differing: 1, repaired: 0 });
    const { rows } = await sql('SELECT email, cause, state FROM subscription_sync.reconciliation_differences');
    expect(rows).toEqual([{ email: 'ada@example.com', cause: 'collision', state: 'confirmed' }]);
  });

  test("and a row without an email is nobody's, and not replicated", async () => {
    await sql(TABLE);
    await started();
    await sql(
      `INSERT INTO subscriptions VALUES (NULL, 'active'), (' ', 'active'), ('ada@example.com', 'active'), ('eve@example.com', 'active')`,
    );
    await sql(`UPDATE subscriptions SET email = NULL WHERE email = 'ada@example.com'`);
    await eventually(async () => (await storyOf(world.db1)).includes('deleted ada@example.com'));
    const inDb2 = async (): Promise<unknown[]> => (await world.db2.query('SELECT email FROM subscriptions')).rows;
    await eventually(async () => JSON.stringify(await inDb2()) === JSON.stringify([{ email: 'eve@example.com' }]));
    const run = await requested(world, {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'equal' });
  });

  test('and rows that another program changes in DB2 are found and repaired', async () => {
    await sql(
      `${TABLE}; INSERT INTO subscriptions VALUES ('Ada@example.com', 'active'), ('Eve@example.com', 'active'), ('bob@example.com', 'active')`,
    );
    await started();
    await expectEqual(ROWS_OF_TWO);
    // A run waits until everything that is on its way has arrived.
    await finished(world, (await requested(world, {})).id);
    await world.db2.query(`
      UPDATE subscriptions SET status = 'wrong' WHERE email = 'Ada@example.com';
      DELETE FROM subscriptions WHERE email = 'Eve@example.com';
      INSERT INTO subscriptions (email, status) VALUES ('Extra@example.com', 'active')`);
    const run = await requested(world, {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired', differing: 3, repaired: 3 });
    await expectEqual(ROWS_OF_TWO);
  });
});

describe('existing rows are copied', () => {
  test('while twelve programs write to them', async () => {
    await sql(`
      CREATE TABLE subscriptions (email text PRIMARY KEY, status text NOT NULL DEFAULT 'active');
      CREATE INDEX ON subscriptions (lower(email));
      INSERT INTO subscriptions SELECT 'User' || i || '@example.com' FROM generate_series(1, ${ROWS}) i`);
    await world.start();
    await eventually(async () => (await sql(`SELECT to_regclass('subscription_sync.changes') AS log`)).rows[0]!['log'] !== null);
    await Promise.all(
      Array.from({ length: 12 }, async (_, writer) => {
        const random = new Random(writer);
        for (let i = 0; i < 75; i += 1) await writeOne(random);
      }),
    );
    await world.ready();
    await eventually(
      async () => (await sql('SELECT FROM subscription_sync.installation WHERE rows_copied AND rows_recorded')).rows.length === 1,
    );
    await expectEqual(ROWS_OF_TWO);
  });

  test('without a row in the log for each, however often the service is stopped meanwhile', async () => {
    await sql(`
      CREATE TABLE subscriptions (email text PRIMARY KEY, status text NOT NULL DEFAULT 'active');
      INSERT INTO subscriptions SELECT 'user' || i || '@example.com' FROM generate_series(1, ${ROWS}) i`);
    for (const enough of [1, ROWS / 2]) {
      await world.start();
      await eventually(async () => {
        const { rows } = await world.db2
          .query<{ n: number }>('SELECT count(*)::int AS n FROM subscriptions')
          .catch(() => ({ rows: [{ n: 0 }] }));
        return rows[0]!.n >= enough;
      });
      await world.stop();
    }
    await started();
    await expectEqual(ROWS_OF_TWO);
    expect((await storyOf(world.db1)).filter((entry) => entry.includes('user'))).toEqual([]);
  });
});

test('processes that start concurrently on empty databases create one schema, and one of them captures', async () => {
  const servers = world.beside({ servers: [['api', 'sync', 'replica'], ['api', 'sync'], ['sync', 'replica'], ['api']] });
  await servers.start();
  try {
    await servers.ready();
    await sql(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
    await expectEqualDatabases(world);
    const { rows } = await sql('SELECT name FROM subscription_sync.migrations');
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
    const capturing = await Promise.all(servers.urls.map(async (url) => (await readinessOf(url)).checks['sync']?.state));
    expect(capturing.sort()).toEqual(['running', 'standby', 'standby', undefined]);
  } finally {
    await servers.stop();
  }
});

const ROWS_OF_TWO = 'SELECT email, status FROM subscriptions ORDER BY email COLLATE "C"';

describe('a table that can not be used is reported with a remedy, and nothing is created halfway', () => {
  // One world for all of them, whose servers start anew.
  const unsuitable = [
    ['no unique email', 'CREATE TABLE subscriptions (email text, status text)', /no unique index.*CREATE UNIQUE INDEX/],
    [
      'an email whose uniqueness is deferred',
      'CREATE TABLE subscriptions (email text UNIQUE DEFERRABLE, status text)',
      /no unique index.*CREATE UNIQUE INDEX/,
    ],
    [
      'an email that is unique only with another column',
      'CREATE TABLE subscriptions (email text, status text, UNIQUE (email, status))',
      /no unique index/,
    ],
    ['a view', `CREATE TABLE other (email text UNIQUE); CREATE VIEW subscriptions AS SELECT * FROM other`, /is not a table/],
  ] as const;

  test('when it has no unique email, or is a view', async () => {
    for (const [name, existing, problem] of unsuitable) {
      await sql(existing);
      const before = await snapshotOf(world.db1);
      await world.start();
      expect([name, await problemOfDb1()]).toEqual([name, expect.stringMatching(problem)]);
      expect([name, await snapshotOf(world.db1)]).toEqual([name, before]);
      await world.stop();
      await sql('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    }
  });

  test('and the service continues by itself once the problem is fixed', async () => {
    await sql(`CREATE TABLE subscriptions (email text, status text); INSERT INTO subscriptions VALUES ('ada@example.com', 'active')`);
    await world.start();
    await problemOfDb1();
    await sql('CREATE UNIQUE INDEX CONCURRENTLY ON subscriptions (email)');
    await world.ready();
    await expectEqual(ROWS_OF_TWO);
  });

  test('also when the role lacks the privileges', async () => {
    // As from version 15 on.
    await sql('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
    await sql(`DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'weak'`);
    const weak = world.beside({ env: { DB1_USER: 'weak', DB1_PASSWORD: 'weak' } });
    await weak.start();
    try {
      expect(await eventually(() => problemOf(weak.url, 'db1'))).toMatch(/permission denied for database/);
      await sql('CREATE SCHEMA subscription_sync AUTHORIZATION weak');
      await eventually(async () => (await problemOf(weak.url, 'db1'))?.includes('permission denied for schema public'));
    } finally {
      await weak.stop();
    }
    await sql('DROP OWNED BY weak; DROP ROLE weak');
  });
});

/** Changes, deletes, renames or creates one of the rows, in one of the ways programs do. */
async function writeOne(random: Random): Promise<void> {
  const email = `user${1 + random.below(ROWS)}@example.com`;
  await sql(
    random.pick([
      `UPDATE subscriptions SET status = 's${random.below(5)}' WHERE lower(email) = $1`,
      'DELETE FROM subscriptions WHERE lower(email) = $1',
      `UPDATE subscriptions SET email = 'Moved${random.below(ROWS)}-' || email WHERE lower(email) = $1`,
      `INSERT INTO subscriptions (email) VALUES ('New-' || $1) ON CONFLICT (email) DO UPDATE SET status = 'upserted'`,
    ]),
    [email],
  ).catch((error: unknown) => {
    if (!['23505', '40P01'].includes(String((error as { code?: unknown }).code))) throw error;
  });
}

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { expectEqualDatabases } from '../../harness/databases.js';
import { definitionOf, snapshotOf } from '../../harness/definition.js';
import { eventually, problemOf } from '../../harness/eventually.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

let world: World;

beforeEach(async () => {
  // Rows that only DB2 has stay until a run is requested that repairs them.
  world = await World.create({ unmigrated: true, env: { RECONCILE_REPAIR: 'off' } });
});
afterEach(() => world.close());

const started = async (): Promise<void> => {
  await world.start();
  await world.ready();
};

const db2 = async <Row extends object>(sql: string): Promise<Row[]> => (await world.db2.query<Row>(sql)).rows;

/** A table as an application makes it: with its own keys, columns, rules, readers and dependants. */
const TABLE = (role: string): string => `
CREATE ROLE ${role} LOGIN PASSWORD 'reader';
CREATE TYPE state AS ENUM ('pending', 'active', 'paused', 'canceled', 'old');
CREATE TABLE plans (name text PRIMARY KEY);
INSERT INTO plans VALUES ('free'), ('pro');
CREATE TABLE subscriptions (
  id serial PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY,
  email varchar(100) COLLATE "en-US-x-icu" NOT NULL CONSTRAINT one_each UNIQUE,
  status state NOT NULL,
  plan text DEFAULT 'free' REFERENCES plans,
  access_until timestamptz,
  cancel_at_period_end boolean,
  metadata jsonb,
  domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED,
  tenant text NOT NULL DEFAULT 't0' CHECK (tenant <> ''),
  note text DEFAULT 'none',
  version text NOT NULL DEFAULT 'v0',
  created_at timestamptz,
  updated_at timestamptz,
  touched int NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX by_status ON subscriptions (status) INCLUDE (plan) WHERE plan IS NOT NULL;
CREATE STATISTICS together ON status, plan FROM subscriptions;
CREATE TABLE seats (subscription int NOT NULL REFERENCES subscriptions ON DELETE CASCADE, holder text);
CREATE TABLE logins (email varchar(100) COLLATE "en-US-x-icu" REFERENCES subscriptions (email));
CREATE VIEW active AS SELECT id, email FROM subscriptions WHERE status = 'active';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE subscriptions IS 'who may do what';
GRANT SELECT, UPDATE (note) ON subscriptions TO ${role};
GRANT SELECT ON active TO ${role};
INSERT INTO subscriptions (email, status, tenant, note) VALUES ('ada@example.com', 'old', 't1', 'kept'), ('only-here@example.com', 'old', 't1', '');
INSERT INTO seats VALUES (1, 'Ada');
INSERT INTO logins VALUES ('only-here@example.com')`;

const DB1_TABLE = `
CREATE TABLE subscriptions (email text PRIMARY KEY, status text, plan text, id int NOT NULL DEFAULT 77, number int DEFAULT 78, domain text DEFAULT 'db1', version int DEFAULT 7);
INSERT INTO subscriptions VALUES ('ada@example.com', 'active'), ('eve@example.com', 'paused')`;

describe('an existing table', () => {
  let role: string;

  beforeEach(async () => {
    role = `reader_${world.name}`;
    await world.db2.query(TABLE(role));
    await world.db1.query(DB1_TABLE);
  });
  afterEach(async () => {
    await world.stop();
    await world.db2.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  test('keeps its definition, and what depends on it works on', async () => {
    const before = await definitionOf(world.db2);
    await started();
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE status <> 'old'`)).length === 2);
    await world.db1.query(`UPDATE subscriptions SET plan = 'pro' WHERE email = 'ada@example.com'`);
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE plan = 'pro'`)).length === 1);

    const reader = new Client({ ...world.addresses.db2, database: world.name, user: role, password: 'reader' });
    await reader.connect();
    const { rows } = await reader.query(
      'SELECT id, number, email, status, plan, domain, tenant, note, version, touched FROM subscriptions ORDER BY email',
    );
    expect((await reader.query('SELECT id FROM active')).rows).toEqual([{ id: 1 }]);
    await reader.query(`UPDATE subscriptions SET note = 'seen' WHERE email = 'ada@example.com'`);
    await reader.end();
    // Its `version` is a column like any other: DB1's table has one of that name.
    const versions = await world.db1.query<{ version: string }>('SELECT version::text FROM subscriptions ORDER BY email');
    const [ada, eve] = versions.rows.map(({ version }) => version);
    const same = { domain: 'example.com' };
    expect(rows).toEqual([
      {
        ...same,
        id: 1,
        number: 1,
        email: 'ada@example.com',
        status: 'active',
        plan: 'pro',
        tenant: 't1',
        note: 'kept',
        version: ada,
        touched: 2,
      },
      {
        ...same,
        id: 3,
        number: 3,
        email: 'eve@example.com',
        status: 'paused',
        plan: null,
        tenant: 't0',
        note: 'none',
        version: eve,
        touched: 0,
      },
      {
        ...same,
        id: 2,
        number: 2,
        email: 'only-here@example.com',
        status: 'old',
        plan: 'free',
        tenant: 't1',
        note: '',
        version: 'v0',
        touched: 0,
      },
    ]);

    const run = await requested(world, { repair: false });
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'differs', compared: 2, differing: 1 });
    await world.db1.query(`DELETE FROM subscriptions WHERE email = 'ada@example.com'`);
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE email = 'ada@example.com'`)).length === 0);
    expect(await db2('SELECT * FROM seats')).toEqual([]);
    expect(await definitionOf(world.db2)).toEqual(before);
  });

  test('draws no number for a change of a row that is there', async () => {
    await started();
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE status <> 'old'`)).length === 2);
    for (const plan of ['pro', 'free', 'pro']) await world.db1.query('UPDATE subscriptions SET plan = $1', [plan]);
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('new@example.com', 'active')`);
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE email = 'new@example.com'`)).length === 1);
    expect(await db2(`SELECT id, number::int FROM subscriptions WHERE email = 'new@example.com'`)).toEqual([{ id: 4, number: 4 }]);
  });

  test('refuses by its own rules only the rows that break them, and a foreign key that references it is kept', async () => {
    await started();
    // The first backfill would deliver the rows once more.
    await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE status <> 'old'`)).length === 2);
    await world.db1.query(`INSERT INTO subscriptions (email, status, plan)
      VALUES ('a@example.com', 'active', 'pro'), ('b@example.com', 'active', 'unknown'), ('c@example.com', 'unknown', 'pro')`);
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('only-here@example.com', 'active')`);
    await eventually(
      async () => (await db2(`SELECT FROM subscriptions WHERE email = 'only-here@example.com' AND status = 'active'`)).length === 1,
    );
    await world.db1.query(`DELETE FROM subscriptions WHERE email = 'only-here@example.com'`);
    const classes = await eventually(async () => {
      const letters = await db2<{ error_class: string }>('SELECT error_class FROM subscription_sync.dead_letters ORDER BY 1');
      return letters.length >= 3 && letters.map(({ error_class: errorClass }) => errorClass);
    });
    expect(classes).toEqual(['22P02', '23503', '23503']);
    expect(await db2(`SELECT email FROM subscriptions WHERE email ~ '^[abc]@' OR email ~ '^only' ORDER BY 1`)).toEqual([
      { email: 'a@example.com' },
      { email: 'only-here@example.com' },
    ]);
  });
});

test('rows of an existing table that Database 1 does not have are found, whatever the order of its index', async () => {
  await world.db2.query(`
    CREATE TABLE subscriptions (
      email text COLLATE "en-US-x-icu" PRIMARY KEY, status text, plan text, access_until timestamptz, cancel_at_period_end boolean,
      metadata jsonb, created_at timestamptz, updated_at timestamptz
    );
    INSERT INTO subscriptions (email, status) SELECT 'Ghost' || i || '@example.com', 'old' FROM generate_series(1, 5) i`);
  await world.db1.query(`
    CREATE TABLE subscriptions (
      email text PRIMARY KEY, status text, plan text, access_until timestamptz, cancel_at_period_end boolean, metadata jsonb, created_at timestamptz,
      updated_at timestamptz
    );
    INSERT INTO subscriptions (email, status) SELECT 'row-' || i || '@example.com', 'active' FROM generate_series(1, 1500) i`);
  const before = await definitionOf(world.db2);
  await started();
  await eventually(async () => (await db2(`SELECT FROM subscriptions WHERE status = 'active'`)).length === 1500, 30_000);
  await world.db2.query(`
    DELETE FROM subscriptions WHERE email = 'row-7@example.com';
    UPDATE subscriptions SET status = 'drifted' WHERE email = 'row-1000@example.com'`);
  const run = await requested(world, {});
  expect(await finished(world, run.id)).toMatchObject({ compared: 1500, differing: 7, outcome: 'repaired' });
  await expectEqualDatabases(world);
  expect(await definitionOf(world.db2)).toEqual(before);
});

test('a row that is too long for a column of DB2 becomes a dead letter, and its neighbours are applied', async () => {
  await started();
  await world.db2.query('ALTER TABLE subscriptions ALTER COLUMN status TYPE varchar(10)');
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'active'), ('b@example.com', 'much too long'), ('c@example.com', 'active')`,
  );
  await eventually(async () => (await db2('SELECT FROM subscriptions')).length === 2);
  const letters = await eventually(async () => {
    const rows = await db2('SELECT error_class FROM subscription_sync.dead_letters');
    return rows.length > 0 ? rows : undefined;
  });
  expect(letters).toEqual([{ error_class: '22001' }]);
  await world.db1.query(`UPDATE subscriptions SET status = 'short' WHERE email = 'b@example.com'`);
  await expectEqualDatabases(world);
});

test('a table that lacks a column stops the replica, which names the statement that adds it', async () => {
  await world.db2.query('CREATE TABLE subscriptions (email text PRIMARY KEY, status text)');
  await world.start();
  await eventually(() => world.db1.query(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`));
  await eventually(
    async () => (await problemOf(world.url, 'replica'))?.includes('ALTER TABLE public.subscriptions ADD COLUMN plan text'),
    30_000,
  );
  expect((await db2('SELECT * FROM subscriptions')).length).toBe(0);
});

test('columns whose types differ are told at the start', async () => {
  await world.db2.query(`
    CREATE TABLE subscriptions (email text PRIMARY KEY, status varchar(10), plan text, access_until timestamptz, cancel_at_period_end boolean,
      metadata jsonb, created_at timestamptz, updated_at timestamptz)`);
  const server = await ServerProcess.start({ ...world.environment(), LOG_LEVEL: 'warn' });
  try {
    await eventually(() => server.output.includes('DB2.subscriptions.status is '));
    expect(server.output).toContain('ALTER TABLE public.subscriptions ALTER COLUMN \\"status\\" TYPE text');
  } finally {
    await server.signal('SIGTERM');
  }
});

test('a table that can not be used is reported, and left unchanged', async () => {
  const unsuitable = [
    ['CREATE TABLE subscriptions (email text, status text)', /DB2\.subscriptions has no unique index/],
    ['CREATE TABLE subscriptions (email text UNIQUE DEFERRABLE, status text)', /DB2\.subscriptions has no unique index/],
    [
      `CREATE TABLE subscriptions (email text, status text); CREATE UNIQUE INDEX ON subscriptions (email) WHERE email <> ''`,
      /no unique index/,
    ],
    [`CREATE VIEW subscriptions AS SELECT 'ada@example.com' AS email`, /DB2\.subscriptions is not a table/],
  ] as const;
  for (const [existing, problem] of unsuitable) {
    await world.db2.query(existing);
    const before = await snapshotOf(world.db2);
    await world.start();
    expect(await eventually(() => problemOf(world.url, 'db2'))).toMatch(problem);
    expect(await snapshotOf(world.db2)).toEqual(before);
    await world.stop();
    await world.db2.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  }
});

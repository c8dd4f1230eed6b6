import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually, problemOf } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;

beforeEach(async () => {
  world = await World.create({ unmigrated: true });
});
afterEach(() => world.close());

const started = async (): Promise<void> => {
  await world.start();
  await world.ready();
};

test('a table with its own keys, rules, columns and readers is adopted', async () => {
  const reader = `reader_${world.name}`;
  await world.db2.query(`
    CREATE TABLE subscriptions (
      id serial PRIMARY KEY,
      email varchar(100) NOT NULL UNIQUE,
      status varchar(20) NOT NULL,
      plan text NOT NULL DEFAULT 'free',
      tenant text NOT NULL,
      note text DEFAULT 'none'
    );
    INSERT INTO subscriptions (email, status, tenant, note) VALUES ('ada@example.com', 'old', 't1', 'kept'), ('only-here@example.com', 'old', 't1', '');
    CREATE ROLE ${reader} LOGIN PASSWORD 'reader';
    GRANT SELECT ON subscriptions TO ${reader}`);
  await world.db1.query(`
    CREATE TABLE subscriptions (email text PRIMARY KEY, status text);
    INSERT INTO subscriptions VALUES ('ada@example.com', 'active'), ('eve@example.com', 'paused')`);
  await started();
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions WHERE version > 0')).rowCount === 2);

  const client = new Client({ ...world.addresses.db2, database: world.name, user: reader, password: 'reader' });
  await client.connect();
  const { rows } = await client.query('SELECT email, status, plan, tenant, note, id FROM subscriptions ORDER BY email');
  await client.end();
  expect(rows).toEqual([
    { email: 'ada@example.com', status: 'active', plan: null, tenant: 't1', note: 'kept', id: 1 },
    { email: 'eve@example.com', status: 'paused', plan: null, tenant: null, note: 'none', id: expect.any(Number) },
    { email: 'only-here@example.com', status: 'old', plan: 'free', tenant: 't1', note: '', id: 2 },
  ]);

  await world.db1.query(`DELETE FROM subscriptions WHERE email = 'ada@example.com'`);
  await eventually(async () => (await world.db2.query(`SELECT FROM subscriptions WHERE email = 'ada@example.com'`)).rowCount === 0);
  const { rows: tombstones } = await world.db2.query(
    `SELECT status, tenant, note FROM replicated_subscriptions WHERE email = 'ada@example.com'`,
  );
  expect(tombstones).toEqual([{ status: null, tenant: null, note: null }]);
  await world.db2.query(`DROP OWNED BY ${reader}; DROP ROLE ${reader}`);
});

test('a row that is too long for a column of DB2 becomes a dead letter, and its neighbours are applied', async () => {
  await world.db2.query('CREATE TABLE subscriptions (email text PRIMARY KEY, status varchar(10))');
  await started();
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'active'), ('b@example.com', 'much too long'), ('c@example.com', 'active')`,
  );
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions')).rowCount === 2);
  const letters = await eventually(async () => {
    const { rows } = await world.db2.query('SELECT error_class FROM subscription_sync.dead_letters');
    return rows.length > 0 ? rows : undefined;
  });
  expect(letters).toEqual([{ error_class: '22001' }]);
  await world.db1.query(`UPDATE subscriptions SET status = 'short' WHERE email = 'b@example.com'`);
  await expectEqualDatabases(world);
});

test('columns that are added to the table later are in the view from the next start on', async () => {
  await started();
  await world.stop();
  await world.db2.query('ALTER TABLE replicated_subscriptions ADD COLUMN "Seats" int');
  await world.db1.query('ALTER TABLE subscriptions ADD COLUMN "Seats" int');
  await started();
  await world.db1.query(`INSERT INTO subscriptions (email, "Seats") VALUES ('ada@example.com', 4)`);
  const { rows } = await eventually(async () => {
    const found = await world.db2.query('SELECT email, "Seats" FROM subscriptions');
    return found.rowCount === 1 ? found : undefined;
  });
  expect(rows).toEqual([{ email: 'ada@example.com', Seats: 4 }]);
});

test('a table that can not be adopted is reported, and left unchanged', async () => {
  const unsuitable = [
    ['CREATE TABLE subscriptions (email text)', /DB2\.subscriptions exists without a unique index/],
    [`CREATE VIEW subscriptions AS SELECT 'ada@example.com' AS email`, /DB2\.subscriptions exists but is not a table/],
  ] as const;
  for (const [existing, problem] of unsuitable) {
    await world.db2.query(existing);
    await world.start();
    expect(await eventually(() => problemOf(world.url, 'db2'))).toMatch(problem);
    const { rows } = await world.db2.query(
      `SELECT to_regclass('replicated_subscriptions') AS table, to_regnamespace('subscription_sync') AS schema`,
    );
    expect([existing, rows]).toEqual([existing, [{ table: null, schema: null }]]);
    await world.stop();
    await world.db2.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  }
});

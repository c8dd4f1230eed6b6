import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { PoolClient } from 'pg';
import { changesOf } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

let world: World;
/** A session of another program that has written before, so that it has cached the trigger's plans. */
let program: PoolClient;
/** Warnings that it got. */
let warnings: string[];

beforeEach(async () => {
  world = await World.create();
  program = await world.db1.connect();
  warnings = [];
  program.on('notice', ({ message }) => warnings.push(message ?? ''));
  await program.query(`
    ALTER TABLE subscriptions ADD COLUMN tags text[];
    INSERT INTO subscriptions (email, status, plan) VALUES ('Ada@example.com', 'active', 'free'), ('eve@example.com', 'active', 'free');
    UPDATE subscriptions SET plan = 'basic';
    DELETE FROM subscriptions WHERE email = 'eve@example.com'`);
});
afterEach(async () => {
  program.release(true);
  await world.close();
});

/** Returns what the log has of changes after the first four. */
async function recorded(): Promise<Record<string, unknown>[]> {
  const changes = await changesOf(world.db1);
  return changes.slice(5).map(({ operation, email, image, previous }) => ({ operation, email, image, previous }));
}

/** Writes in a session that has written before, and in a new one. */
async function write(statement: string, again = statement): Promise<void> {
  await program.query(statement);
  await world.db1.query(again);
}

describe('while no process of the service runs, writes of other programs succeed and are recorded', () => {
  test('after a column was dropped', async () => {
    await program.query('ALTER TABLE subscriptions DROP COLUMN plan, DROP COLUMN cancel_at_period_end');
    await write(`UPDATE subscriptions SET status = 'paused'`, `UPDATE subscriptions SET status = 'active'`);
    await write(
      `INSERT INTO subscriptions (email) VALUES ('bob@example.com')`,
      `DELETE FROM subscriptions WHERE email = 'bob@example.com'`,
    );
    expect(await recorded()).toMatchObject([
      { operation: 'updated', email: 'ada@example.com', image: { status: 'paused' }, previous: { status: 'active' } },
      { operation: 'updated', image: { status: 'active' }, previous: { status: 'paused' } },
      { operation: 'created', email: 'bob@example.com' },
      { operation: 'deleted', email: 'bob@example.com' },
    ]);
  });

  test('after columns were renamed or added', async () => {
    await program.query('ALTER TABLE subscriptions RENAME COLUMN plan TO tier; ALTER TABLE subscriptions ADD COLUMN seats int[]');
    await write(`UPDATE subscriptions SET tier = 'pro', seats = '{1}'`, `UPDATE subscriptions SET seats = '[2:2]={2}'`);
    const [first, second] = await recorded();
    expect(first).toMatchObject({ image: { tier: 'pro', seats: '{1}' }, previous: { tier: 'basic', seats: null } });
    expect(second).toMatchObject({ image: { tier: 'pro', seats: '[2:2]={2}' }, previous: { seats: '{1}' } });
  });

  test('after types were changed, also to one without equality', async () => {
    await program.query(`
      ALTER TABLE subscriptions ALTER COLUMN plan TYPE varchar(10), ALTER COLUMN metadata DROP DEFAULT;
      ALTER TABLE subscriptions ALTER COLUMN metadata TYPE json`);
    await write(`UPDATE subscriptions SET plan = 'pro', metadata = '{"a": 1}'`, `UPDATE subscriptions SET plan = 'free'`);
    const [first, second] = await recorded();
    expect(first).toMatchObject({ image: { plan: 'pro', metadata: { a: 1 } }, previous: { plan: 'basic', metadata: {} } });
    expect(second).toMatchObject({ image: { plan: 'free', metadata: { a: 1 } }, previous: { plan: 'pro' } });
  });

  test('after the email and the status were renamed, under both names', async () => {
    await program.query(
      'ALTER TABLE subscriptions RENAME COLUMN email TO address; ALTER TABLE subscriptions RENAME COLUMN status TO state',
    );
    await write(`UPDATE subscriptions SET state = 'paused'`, `UPDATE subscriptions SET address = 'Ada2@example.com'`);
    const [first, ...rename] = await recorded();
    expect(first).toMatchObject({
      operation: 'updated',
      email: 'ada@example.com',
      image: { email: 'Ada@example.com', address: 'Ada@example.com', status: 'paused', state: 'paused' },
      previous: { status: 'active', state: 'active' },
    });
    expect(rename).toMatchObject([
      { operation: 'deleted', email: 'ada@example.com' },
      { operation: 'created', email: 'ada2@example.com', image: { email: 'Ada2@example.com' } },
    ]);
    expect(warnings).toEqual([]);
  });

  test('except that changes of a table whose email was dropped are not recorded, of which the program is warned', async () => {
    await program.query('ALTER TABLE subscriptions DROP COLUMN email');
    await write(`UPDATE subscriptions SET status = 'paused'`, `UPDATE subscriptions SET status = 'active'`);
    expect(await recorded()).toEqual([]);
    expect(warnings).toEqual(['subscription-sync could not record a change of public.subscriptions: it has no column email any more']);
  });

  test('after the table was renamed, moved to another schema, and then truncated', async () => {
    await program.query('ALTER TABLE subscriptions RENAME TO members; CREATE SCHEMA crm; ALTER TABLE members SET SCHEMA crm');
    await program.query(`CREATE TABLE subscriptions AS SELECT 'other@example.com' AS email, 'active' AS status`);
    await program.query(`UPDATE crm.members SET plan = 'pro'; TRUNCATE crm.members`);
    expect(await recorded()).toMatchObject([
      { operation: 'updated', email: 'ada@example.com', image: { plan: 'pro' } },
      { operation: 'deleted', email: 'ada@example.com', image: { plan: 'pro' } },
    ]);
  });

  test('while the month has no partition', async () => {
    const { rows } = await program.query<{ name: string }>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'subscription_sync.changes'::regclass AND inhrelid::regclass::text !~ 'default'`,
    );
    await program.query(`DROP TABLE ${rows.map(({ name }) => name).join()}`);
    await write(`UPDATE subscriptions SET plan = 'pro'`, `UPDATE subscriptions SET plan = 'free'`);
    expect((await changesOf(world.db1)).map(({ operation }) => operation)).toEqual(['updated', 'updated']);
  });
});

test('a write whose transaction changes thousands of rows takes no subtransaction ids', async () => {
  await program.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 1000) i`);
  const next = async (): Promise<number> =>
    Number((await program.query<{ id: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS id')).rows[0]!.id);
  await program.query('ALTER TABLE subscriptions DROP COLUMN plan');
  // Other tests on the same server take ids meanwhile, though not each time as many.
  const taken: number[] = [];
  for (const status of ['paused', 'active', 'paused', 'active']) {
    await program.query('BEGIN');
    await program.query(`UPDATE subscriptions SET status = '${status}'`);
    const { rows } = await program.query<{ id: string }>('SELECT pg_current_xact_id()::text AS id');
    await program.query('COMMIT');
    taken.push((await next()) - Number(rows[0]!.id));
  }
  expect(Math.min(...taken)).toBeLessThan(1000);
});

describe.each([
  ['INSERT on the log', 'REVOKE ALL ON subscription_sync.changes FROM'],
  ['USAGE of the sequence', 'REVOKE ALL ON subscription_sync.version FROM'],
  ['EXECUTE of the functions', 'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA subscription_sync FROM PUBLIC,'],
  ['USAGE of the schema', 'REVOKE ALL ON SCHEMA subscription_sync FROM'],
])('a service whose role has lost %s', (_, revoke) => {
  test('lets the writes of other programs succeed, and warns them', async () => {
    const role = `service_${world.name}`;
    await program.query(`
      CREATE ROLE ${role};
      GRANT USAGE ON SCHEMA subscription_sync TO ${role};
      ALTER TABLE subscriptions OWNER TO ${role}`);
    await program.query(`
      DO $$ DECLARE o record; BEGIN
        FOR o IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'subscription_sync'::regnamespace
        LOOP EXECUTE format('ALTER FUNCTION %s OWNER TO ${role}', o.name); END LOOP;
      END $$;
      ALTER TABLE subscription_sync.changes OWNER TO ${role}; ALTER SEQUENCE subscription_sync.version OWNER TO ${role}`);
    await write(`UPDATE subscriptions SET plan = 'pro'`, `UPDATE subscriptions SET plan = 'free'`);
    expect(await recorded()).toHaveLength(2);
    await program.query(`${revoke} ${role}`);
    await write(`UPDATE subscriptions SET plan = 'pro'`, `TRUNCATE subscriptions`);
    expect(await recorded()).toHaveLength(2);
    expect(warnings).toEqual([
      expect.stringMatching(/^subscription-sync could not record a change of public.subscriptions: its role lacks/),
    ]);
    await program.query(`REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
});

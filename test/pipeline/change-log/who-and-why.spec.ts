import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { changesOf, storyOf } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

let world: World;
const sql = (text: string): Promise<unknown> => world.db1.query(text);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());
beforeEach(() => sql('DELETE FROM subscriptions; DELETE FROM subscription_sync.changes'));

test("other programs' SQL is recorded as such, with the session's user and the program's name", async () => {
  await sql(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
  expect(await changesOf(world.db1)).toMatchObject([
    { origin: 'sql', actor: 'postgres', application_name: 'other-program', reason: null, traceparent: null },
  ]);
});

test('a program may set the actor, the reason and the trace, for its transaction only', async () => {
  await sql(`
    BEGIN;
    SET LOCAL subscription_sync.actor = 'billing "job"';
    SET LOCAL subscription_sync.reason = 'invoice 4711
unpaid';
    SET LOCAL subscription_sync.traceparent = '${TRACEPARENT}';
    INSERT INTO subscriptions (email) VALUES ('ada@example.com');
    COMMIT;
    UPDATE subscriptions SET status = 'active'`);
  const [first, second] = await changesOf(world.db1);
  expect(first).toMatchObject({ actor: 'billing "job"', reason: 'invoice 4711\nunpaid', traceparent: TRACEPARENT, origin: 'sql' });
  expect(JSON.parse(first!.event)).toMatchObject({
    traceparent: TRACEPARENT,
    data: { actor: 'billing "job"', reason: 'invoice 4711\nunpaid', origin: 'sql' },
  });
  expect(second).toMatchObject({ actor: 'postgres', reason: null, traceparent: null });
  expect(JSON.parse(second!.event)).not.toHaveProperty('traceparent');
});

describe('a program with rights on subscriptions alone', () => {
  let clerk: Client;

  beforeAll(async () => {
    const role = `clerk_${world.name}`;
    await sql(`
      CREATE ROLE ${role} LOGIN PASSWORD 'clerk';
      GRANT SELECT, INSERT, UPDATE, DELETE ON subscriptions TO ${role};
      CREATE SCHEMA hostile AUTHORIZATION ${role};`);
    clerk = new Client({ ...world.addresses.db1, database: world.name, user: role, password: 'clerk' });
    await clerk.connect();
  });
  afterAll(async () => {
    await clerk.end();
    await sql(`DROP OWNED BY clerk_${world.name}; DROP ROLE clerk_${world.name}`);
  });

  test('can write, and is recorded by its name', async () => {
    await clerk.query(`
      INSERT INTO subscriptions (email) VALUES ('ada@example.com');
      UPDATE subscriptions SET status = 'active'; UPDATE subscriptions SET email = 'eve@example.com'; DELETE FROM subscriptions`);
    const changes = await changesOf(world.db1);
    expect(changes).toHaveLength(5);
    expect(new Set(changes.map(({ actor }) => actor))).toEqual(new Set([`clerk_${world.name}`]));
  });

  test.each([
    'SELECT FROM subscription_sync.changes',
    `DELETE FROM subscription_sync.changes`,
    `SELECT subscription_sync.append_change('deleted', 'ada@example.com', '{}')`,
    `SELECT nextval('subscription_sync.version')`,
  ])('may not write history: %s', async (statement) => {
    await expect(clerk.query(statement)).rejects.toMatchObject({ code: '42501' });
  });

  test('can not change what is logged by its search_path, temporary tables or functions', async () => {
    await clerk.query(`
      CREATE TABLE hostile.changes (version bigint);
      CREATE SEQUENCE hostile.version;
      CREATE FUNCTION hostile.normalize_email(text) RETURNS text LANGUAGE sql AS $$ SELECT 'stolen' $$;
      CREATE FUNCTION hostile.nextval(text) RETURNS bigint LANGUAGE sql AS $$ SELECT 1::bigint $$;
      CREATE FUNCTION hostile.session_user() RETURNS text LANGUAGE sql AS $$ SELECT 'nobody' $$;
      CREATE TEMPORARY TABLE changes (version bigint);
      SET search_path = hostile, pg_temp, public;
      INSERT INTO public.subscriptions (email) VALUES ('Ada@example.com');
      UPDATE public.subscriptions SET status = 'active';
      SET search_path = '';
      DELETE FROM public.subscriptions;
      RESET search_path`);
    expect(await storyOf(world.db1)).toEqual(['created ada@example.com', 'updated ada@example.com', 'deleted ada@example.com']);
  });
});

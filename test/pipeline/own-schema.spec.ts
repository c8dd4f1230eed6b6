import { afterEach, describe, expect, test } from '@jest/globals';
import type { Pool } from 'pg';
import { expectEqualDatabases } from '../harness/databases.js';
import { snapshotOf } from '../harness/definition.js';
import { eventually, problemOf } from '../harness/eventually.js';
import { World } from '../harness/world.js';

let world: World;

afterEach(() => world.close());

async function replicateOneRow(): Promise<void> {
  await world.start();
  await world.ready();
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active')`);
  await expectEqualDatabases(world);
}

/** Objects of every kind that belong to the schema public. Indexes and constraints belong to their table, so they are selected separately. */
const IN_PUBLIC = `
SELECT type || ' ' || identity AS object
FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid)
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'public'::regnamespace
UNION ALL
SELECT 'index ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'I')
UNION ALL
SELECT 'constraint ' || conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
ORDER BY 1`;

async function objectsInPublic(pool: Pool): Promise<string[]> {
  return (await pool.query<{ object: string }>(IN_PUBLIC)).rows.map(({ object }) => object);
}

async function schemasOf(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

const PUBLIC_OF_DB1 = [
  'constraint subscriptions_email_not_empty',
  'constraint subscriptions_pkey',
  'index subscriptions_by_status',
  'index subscriptions_pkey',
  'table public.subscriptions',
];

const PUBLIC_OF_DB2 = ['constraint subscriptions_pkey', 'index subscriptions_pkey', 'table public.subscriptions'];

test("public holds nothing but the users' tables after a start on empty databases", async () => {
  world = await World.create({ unmigrated: true, env: { RECONCILE_INTERVAL: '1', CANARY_INTERVAL: '1' } });
  await replicateOneRow();
  await eventually(async () => {
    const finished = await world.db1.query('SELECT FROM subscription_sync.reconciliation_runs WHERE finished_at IS NOT NULL');
    return finished.rowCount! > 0;
  });
  expect(await objectsInPublic(world.db1)).toEqual(PUBLIC_OF_DB1);
  expect(await objectsInPublic(world.db2)).toEqual(PUBLIC_OF_DB2);
  expect(await schemasOf(world.db1)).toEqual(['public', 'subscription_sync']);
  expect(await schemasOf(world.db2)).toEqual(['public', 'subscription_sync']);
});

test('a migration that fails leaves the database as it was', async () => {
  world = await World.create({ unmigrated: true });
  await world.db1.query(`
    CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no triggers here'; END $$;
    CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION refuse()`);
  const before = await snapshotOf(world.db1);
  await world.start();
  expect(await eventually(() => problemOf(world.url, 'db1'))).toContain('no triggers here');
  expect(await snapshotOf(world.db1)).toEqual(before);
  await world.db1.query('DROP EVENT TRIGGER refuse');
  await world.ready();
});

describe('the role that the service connects with', () => {
  /** Starts the service with a role that `prepare` has given what it needs, and returns the objects in public of both databases. */
  async function startAs(role: string, prepare: (database: string) => string): Promise<string[][]> {
    const login = { DB1_USER: role, DB1_PASSWORD: 'role', DB2_USER: role, DB2_PASSWORD: 'role' };
    world = await World.create({ unmigrated: true, capture: 'poll', env: login });
    const pools = [world.db1, world.db2];
    await Promise.all(pools.map((pool) => pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role'; ${prepare(world.name)}`)));
    try {
      await replicateOneRow();
      return await Promise.all(pools.map(objectsInPublic));
    } finally {
      await world.stop();
      await Promise.all(pools.map((pool) => pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)));
    }
  }

  test('may be unable to create a schema, if an administrator has created it', async () => {
    const prepare = (): string => 'CREATE SCHEMA subscription_sync AUTHORIZATION modest; GRANT CREATE ON SCHEMA public TO modest';
    expect(await startAs('modest', prepare)).toEqual([PUBLIC_OF_DB1, PUBLIC_OF_DB2]);
  });

  test('may be named like the schema, which is then first in its search_path', async () => {
    const prepare = (database: string): string =>
      `GRANT CREATE ON DATABASE ${database} TO subscription_sync; GRANT CREATE ON SCHEMA public TO subscription_sync`;
    expect(await startAs('subscription_sync', prepare)).toEqual([PUBLIC_OF_DB1, PUBLIC_OF_DB2]);
  });
});

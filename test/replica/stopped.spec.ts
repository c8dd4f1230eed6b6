import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/compare.js';
import { eventually } from '../harness/eventually.js';
import { readinessOf } from '../harness/readiness.js';
import { World } from '../harness/world.js';

let world: World;
let role: string;

/** The replica is a server of its own, with a role of its own in DB2. */
beforeAll(async () => {
  const plain = await World.create();
  role = `replica_${plain.name}`;
  await plain.db2.query(`CREATE ROLE ${role} LOGIN PASSWORD 'right' SUPERUSER`);
  await plain.close();
  world = await World.started({ servers: [['api', 'sync'], ['replica']], env: { DB2_USER: role, DB2_PASSWORD: 'right' } });
});
afterAll(async () => {
  await world.stop();
  await world.db2.query(`REASSIGN OWNED BY ${role} TO postgres; DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await world.close();
});

async function write(email: string): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions AS s (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET plan = s.version::text`,
    [email],
  );
}

async function readiness(): Promise<{ code: number; error: string | undefined }> {
  const { code, checks } = await readinessOf(world.urls[1]!);
  return { code, error: checks['replica']?.error };
}

async function stoppedGauge(): Promise<string | undefined> {
  const text = await (await fetch(`${world.urls[1]}/metrics`)).text();
  return /^subscription_sync_replica_stopped (\d)$/m.exec(text)?.[1];
}

const VIEW = `CREATE VIEW subscriptions AS SELECT email, status, plan, access_until, cancel_at_period_end, metadata, version, created_at, updated_at
  FROM replicated_subscriptions WHERE tombstoned_at IS NULL`;

const AS_NOBODY = (rights: string): string => `ALTER ROLE ROLE_NAME NOSUPERUSER; ${rights}`;

describe('what a person has to mend stops the replica, loudly, and it goes on by itself', () => {
  test.each([
    ['a table that is gone', 'ALTER TABLE replica_positions RENAME TO away', 'ALTER TABLE away RENAME TO replica_positions', /migrations/],
    [
      'no unique index any more',
      'ALTER TABLE replicated_subscriptions DROP CONSTRAINT replicated_subscriptions_pkey',
      'ALTER TABLE replicated_subscriptions ADD PRIMARY KEY (email)',
      /unique index/,
    ],
    [
      'a column of another type',
      'DROP VIEW subscriptions; ALTER TABLE replicated_subscriptions ALTER COLUMN status TYPE integer USING 0',
      `ALTER TABLE replicated_subscriptions ALTER COLUMN status TYPE text USING 'active'; ${VIEW}`,
      /ALTER COLUMN status TYPE text/,
    ],
    [
      'a column that is gone',
      'ALTER TABLE replicated_subscriptions DROP COLUMN plan CASCADE',
      `ALTER TABLE replicated_subscriptions ADD COLUMN plan text; ${VIEW}`,
      /ADD COLUMN plan text/,
    ],
    ['rights taken away', AS_NOBODY('REVOKE ALL ON replicated_subscriptions FROM ROLE_NAME'), 'ALTER ROLE ROLE_NAME SUPERUSER', /grant/],
  ])('%s', async (_, breakIt, mendIt, remedy) => {
    await world.db2.query(breakIt.replaceAll('ROLE_NAME', role));
    await write('ada@example.com');
    const stopped = await eventually(async () => {
      const now = await readiness();
      return now.error?.startsWith('stopped') && remedy.test(now.error) ? now : undefined;
    });
    expect(stopped.code).toBe(503);
    expect(await stoppedGauge()).toBe('1');
    await write('eve@example.com');
    await world.db2.query(mendIt.replaceAll('ROLE_NAME', role));
    await world.ready();
    await expectEqualDatabases(world);
    expect(await stoppedGauge()).toBe('0');
    expect((await world.db2.query('SELECT FROM dead_letters')).rowCount).toBe(0);
  });

  test('a password that was changed', async () => {
    await world.db2.query(`ALTER ROLE ${role} PASSWORD 'changed'`);
    await world.db2.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [role]);
    await write('ada@example.com');
    const stopped = await eventually(async () => {
      const now = await readiness();
      return now.error?.startsWith('stopped') ? now : undefined;
    });
    expect(stopped).toEqual({ code: 503, error: expect.stringContaining('DB2_PASSWORD') });
    await world.db2.query(`ALTER ROLE ${role} PASSWORD 'right'`);
    await world.ready();
    await expectEqualDatabases(world);
  });
});

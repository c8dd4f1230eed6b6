import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { runOn, sharedParts } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { World } from '../harness/world.js';

/** The replica's role in DB2: a separate name for each world. */
const PASSWORD = 'right';

/** Runs a world whose replica is a separate server process with its own role in DB2. */
async function withReplica(work: (world: World, role: string) => Promise<void>): Promise<void> {
  const role = `replica_${randomBytes(6).toString('hex')}`;
  await runOn(sharedParts().db2, `CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}' SUPERUSER`);
  const world = await World.started({ servers: [['api', 'sync'], ['replica']], env: { DB2_USER: role, DB2_PASSWORD: PASSWORD } });
  try {
    await work(world, role);
  } finally {
    await world.stop();
    await world.db2.query(`REASSIGN OWNED BY ${role} TO postgres; DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await world.close();
  }
}

/** Expects that `breakage` stops the replica with a matching remedy, and that the replica recovers by itself after `repair`. */
async function expectStop(world: World, breakage: string, repair: string, remedy: RegExp): Promise<void> {
  await world.db2.query(breakage);
  await write(world, 'ada@example.com');
  const stopped = await eventually(async () => {
    const now = await readiness(world);
    return now.error?.startsWith('stopped') && remedy.test(now.error) ? now : undefined;
  });
  expect(stopped.code).toBe(503);
  expect(await stoppedGauge(world)).toBe('1');
  await write(world, 'eve@example.com');
  await world.db2.query(repair);
  await world.ready();
  await expectEqualDatabases(world);
  expect(await stoppedGauge(world)).toBe('0');
  expect((await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount).toBe(0);
}

async function write(world: World, email: string): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions AS s (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET plan = clock_timestamp()::text`,
    [email],
  );
}

async function readiness(world: World): Promise<{ code: number; error: string | undefined }> {
  const { code, checks } = await readinessOf(world.urls[1]!);
  return { code, error: checks['replica']?.error };
}

async function stoppedGauge(world: World): Promise<string | undefined> {
  const text = await (await fetch(`${world.urls[1]}/metrics`)).text();
  return /^subscription_sync_replica_stopped (\d)$/m.exec(text)?.[1];
}

/** Concurrent: each test waits for seconds until the replica tries again. */
test.concurrent.each<[string, (role: string) => string, (role: string) => string, RegExp]>([
  [
    'a table is missing',
    () => 'ALTER TABLE subscription_sync.positions RENAME TO away',
    () => 'ALTER TABLE subscription_sync.away RENAME TO positions',
    /migrations/,
  ],
  [
    'the unique index is missing',
    () => 'ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_pkey',
    () => 'ALTER TABLE subscriptions ADD PRIMARY KEY (email)',
    /unique index/,
  ],
  [
    'a column has another type',
    () => 'ALTER TABLE subscriptions ALTER COLUMN status DROP DEFAULT, ALTER COLUMN status TYPE integer USING 0',
    () => `ALTER TABLE subscriptions ALTER COLUMN status TYPE text USING 'active'`,
    /ALTER COLUMN status TYPE text/,
  ],
  [
    'a column is missing',
    () => 'ALTER TABLE subscriptions DROP COLUMN plan',
    () => 'ALTER TABLE subscriptions ADD COLUMN plan text',
    /ADD COLUMN plan text/,
  ],
  [
    'a privilege is revoked',
    (role) => `ALTER ROLE ${role} NOSUPERUSER; REVOKE ALL ON subscriptions FROM ${role}`,
    (role) => `ALTER ROLE ${role} SUPERUSER`,
    /grant/,
  ],
  [
    'the password was changed',
    (role) => `ALTER ROLE ${role} PASSWORD 'changed'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`,
    (role) => `ALTER ROLE ${role} PASSWORD '${PASSWORD}'`,
    /DB2_PASSWORD/,
  ],
])('the replica stops with a remedy, and recovers by itself once an operator has acted: %s', (_, breakage, repair, remedy) =>
  withReplica((world, role) => expectStop(world, breakage(role), repair(role), remedy)),
);

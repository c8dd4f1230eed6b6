import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readSettings } from '#config';
import { type RunningServer, startServer } from '../../apps/server/src/bootstrap.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, problemOf, readinessOf } from '../harness/eventually.js';
import { runOn } from '../harness/addresses.js';
import { World } from '../harness/world.js';

let world: World;
let server: RunningServer | undefined;

beforeEach(async () => {
  world = await World.create();
  // The role has the rights of the owner, but is not a superuser.
  await runOn(world.addresses.db1, `CREATE ROLE ${world.name} LOGIN REPLICATION PASSWORD 'p' IN ROLE postgres`);
});
afterEach(async () => {
  await server?.stop();
  const { db1, name } = world;
  await db1.query(`REASSIGN OWNED BY ${name} TO postgres`);
  await world.close();
  await runOn(world.addresses.db1, `DROP ROLE ${name}`);
});

async function start(capture: string): Promise<string> {
  await server?.stop();
  const account = { DB1_USER: world.name, DB1_PASSWORD: 'p' };
  server = await startServer(readSettings({ ...world.environment(), ...account, CAPTURE: capture }));
  return server.url;
}

async function isRead(): Promise<boolean> {
  return (await world.db1.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active', [world.name])).rowCount === 1;
}

test('when the role loses the right to replicate, auto continues by poll and reports why; wal is an error until the right is back', async () => {
  await start('auto');
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('a@example.com')`);
  await eventually(isRead);
  await runOn(world.addresses.db1, `ALTER ROLE ${world.name} NOREPLICATION`);
  const polling = await start('auto');
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('b@example.com')`);
  await expectEqualDatabases(world);
  expect((await readinessOf(polling)).checks['sync']).toMatchObject({
    capture: 'poll',
    note: expect.stringContaining('permission denied') as unknown,
  });
  const refused = await start('wal');
  await eventually(async () => (await problemOf(refused, 'sync'))?.includes('CAPTURE=wal is not possible: permission denied'));
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('c@example.com')`);
  await runOn(world.addresses.db1, `ALTER ROLE ${world.name} REPLICATION`);
  await expectEqualDatabases(world);
  await eventually(isRead);
});

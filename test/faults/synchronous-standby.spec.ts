import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually, readinessOf } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { World } from '../harness/world.js';

let parts: Parts;
let world: World;

beforeAll(async () => {
  parts = await Parts.start(['db1']);
  world = await World.create({ capture: 'wal', parts: parts.addresses });
  // The service's own commits do not wait, so that only those of the test's writer do.
  await world.db1.query(`ALTER DATABASE ${world.name} SET synchronous_commit = 'local'`);
  await world.start();
  await world.ready();
});
afterAll(async () => {
  await world.close();
  await parts.close();
});

async function synchronousStandbys(names: string): Promise<void> {
  await world.db1.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await world.db1.query('SELECT pg_reload_conf()');
  await eventually(
    async () =>
      (await world.db1.query<{ now: string }>(`SELECT current_setting('synchronous_standby_names') AS now`)).rows[0]!.now === names,
  );
}

test('a change is not published while its commit waits for a synchronous standby', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('first@example.com')`);
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions')).rowCount === 1);
  await synchronousStandbys('absent');
  const writer = await world.db1.connect();
  const committed = writer.query(`SET synchronous_commit = 'on'; INSERT INTO subscriptions (email) VALUES ('second@example.com')`);
  try {
    await eventually(async () => {
      const { checks } = await readinessOf(world.url);
      return checks['sync']!.note === 'changes wait until DB1 has committed them, which waits for its synchronous standbys';
    });
    expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe(1);
  } finally {
    await synchronousStandbys('');
    await committed;
    writer.release();
  }
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions')).rowCount === 2);
  // No gap was found, which would move the sequence and compare all rows.
  expect((await world.db1.query('SELECT FROM subscription_sync.reconciliation_runs')).rowCount).toBe(0);
});

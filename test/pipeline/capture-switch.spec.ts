import { expect, test } from '@jest/globals';
import { readSettings } from '#config';
import { startServer } from '../../apps/server/src/bootstrap.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

test('no change is lost when capture switches from wal to poll and back, and poll leaves no slot that could fill the disk', async () => {
  const world = await World.create();
  const run = async (capture: string, work: () => Promise<unknown>): Promise<void> => {
    const server = await startServer(readSettings({ ...world.environment(), CAPTURE: capture }));
    await work();
    await expectEqualDatabases(world);
    await server.stop();
  };
  const write = (name: string): Promise<unknown> =>
    world.db1.query(
      `INSERT INTO subscriptions (email, status) SELECT '${name}' || i || '@example.com', 'active' FROM generate_series(1, 300) i`,
    );
  const slots = async (): Promise<number> =>
    (await world.db1.query('SELECT FROM pg_replication_slots WHERE database = $1', [world.name])).rowCount ?? 0;

  /**
   * The creation of a slot waits for transactions, also of other databases. The log is read by SQL meanwhile, so both databases are
   * equal before the slot exists.
   */
  const withSlot = async (name: string): Promise<void> => {
    await write(name);
    await eventually(async () => {
      const made = 'SELECT FROM pg_replication_slots WHERE database = $1 AND confirmed_flush_lsn IS NOT NULL';
      return (await world.db1.query(made, [world.name])).rowCount === 1;
    });
  };

  await write('before');
  await run('wal', () => withSlot('wal'));
  expect(await slots()).toBe(1);
  await write('between');
  await run('poll', () => write('poll'));
  expect(await slots()).toBe(0);
  await write('between-again');
  await run('auto', () => withSlot('auto'));
  expect(await slots()).toBe(1);
  await world.close();
});

test('of two servers on one database, one captures, and the other stands by and takes over', async () => {
  const world = await World.create();
  const first = await startServer(readSettings(world.environment()));
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'active')`);
  await expectEqualDatabases(world);
  const second = await startServer(readSettings(world.environment()));
  const sync = async (url: string): Promise<unknown> =>
    ((await (await fetch(`${url}/health/ready`)).json()) as { checks: { sync: { state?: string } } }).checks.sync.state;
  await eventually(async () => (await sync(second.url)) === 'standby');
  expect(await sync(first.url)).toBe('running');
  await first.stop();
  await world.db1.query(`UPDATE subscriptions SET status = 'paused'`);
  await expectEqualDatabases(world);
  await eventually(async () => (await sync(second.url)) === 'running');
  await second.stop();
  await world.close();
});

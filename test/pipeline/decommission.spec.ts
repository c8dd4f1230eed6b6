import { expect, test } from '@jest/globals';
import { readCommandSettings } from '#config';
import { decommission } from '#sync';
import { callCli, runCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { slotIsRead, World } from '../harness/world.js';

/** The environment of an operator who has nothing but Database 1 configured. */
function environment(world: World): Record<string, string> {
  return Object.fromEntries(Object.entries(world.environment()).filter(([name]) => /^(DB1|CAPTURE)/.test(name)));
}

async function write(world: World, name: string): Promise<void> {
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT '${name}' || i || '@example.com' FROM generate_series(1, 50) i`);
}

async function leftOf(world: World, catalog: 'pg_publication' | 'pg_replication_slots'): Promise<number> {
  const mine = catalog === 'pg_publication' ? 'true' : `database = '${world.name}'`;
  return (await world.db1.query(`SELECT FROM ${catalog} WHERE ${mine}`)).rowCount!;
}

test.concurrent('decommission drops what costs the database something, and a later start misses nothing', () =>
  World.lend(async (world) => {
    await world.start();
    await write(world, 'before');
    await expectEqualDatabases(world);
    await slotIsRead(world);
    await world.stop();
    expect(await runCli(['decommission'], environment(world))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`dropped: replication slot ${world.name}, publication subscription_sync`) as unknown,
      stderr: '',
    });
    expect([await leftOf(world, 'pg_replication_slots'), await leftOf(world, 'pg_publication')]).toEqual([0, 0]);
    await write(world, 'meanwhile');
    await world.start();
    await write(world, 'after');
    await expectEqualDatabases(world);
    const metrics = await (await fetch(`${world.url}/metrics`)).text();
    // A slot that was dropped on purpose does not count as lost.
    expect(metrics).toContain('subscription_sync_slots_replaced_total{reason="missing"} 0');
  }),
);

test.concurrent('decommission is refused while a sync process runs', () =>
  World.lend(async (world) => {
    await world.start();
    await world.ready();
    const { db1, slot } = readCommandSettings(world.environment());
    // Not by the command, which waits as long as a process that was cut off may keep the lease.
    const timings = { ...TEST_TIMINGS.sync, decommissionTimeoutMs: 1_000 };
    await expect(decommission(db1, slot, timings)).rejects.toThrow(
      'A sync process still captures this database: stop it first, and then try again',
    );
    await write(world, 'still');
    await expectEqualDatabases(world);
  }),
);

// Not concurrent, because the command runs in this process.
test('decommission has nothing to do the second time, or on a database that the service never used, and prints why it fails', () =>
  World.lend(async (world) => {
    const nothing = { code: 0, stdout: expect.stringContaining('nothing of the service was there') as unknown };
    expect(await callCli(['decommission'], environment(world))).toMatchObject(nothing);
    await world.db1.query('DROP TABLE subscription_sync.checkpoint');
    expect(await callCli(['decommission'], environment(world))).toMatchObject(nothing);
    expect(await callCli(['decommission'], { ...environment(world), DB1_DATABASE: 'none' })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'Database 1 was not decommissioned: database "none" does not exist\n',
    });
  }));

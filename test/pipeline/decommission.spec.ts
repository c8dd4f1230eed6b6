import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

/** Runs the command as an operator would, with nothing but Database 1 configured. */
async function decommission(world: World): Promise<{ code: number | null; output: string }> {
  const env = Object.fromEntries(Object.entries(world.environment()).filter(([name]) => /^(DB1|CAPTURE)/.test(name)));
  const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', 'decommission'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

async function write(world: World, name: string): Promise<void> {
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT '${name}' || i || '@example.com' FROM generate_series(1, 50) i`);
}

async function leftOf(world: World, catalog: 'pg_publication' | 'pg_replication_slots'): Promise<number> {
  const mine = catalog === 'pg_publication' ? 'true' : `database = '${world.name}'`;
  return (await world.db1.query(`SELECT FROM ${catalog} WHERE ${mine}`)).rowCount!;
}

/** The tests run concurrently because the command waits for a process that may be ending. */
test.concurrent('decommission drops what costs the database something, and a later start misses nothing', () =>
  World.lend(async (world) => {
    await world.start();
    await write(world, 'before');
    await expectEqualDatabases(world);
    await eventually(async () => (await leftOf(world, 'pg_replication_slots')) === 1);
    await world.stop();
    const { code, output } = await decommission(world);
    expect(output).toContain(`dropped: replication slot ${world.name}, publication subscription_sync`);
    expect(code).toBe(0);
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
    const { code, output } = await decommission(world);
    expect(output).toBe(
      'Database 1 was not decommissioned: A sync process still captures this database: stop it first, and then try again\n',
    );
    expect(code).toBe(1);
    await write(world, 'still');
    await expectEqualDatabases(world);
  }),
);

test.concurrent('decommission has nothing to do the second time, or on a database that the service never used', () =>
  World.lend(async (world) => {
    expect((await decommission(world)).output).toContain('nothing of the service was there');
    await world.db1.query('DROP TABLE sync_checkpoint');
    expect(await decommission(world)).toMatchObject({
      code: 0,
      output: expect.stringContaining('nothing of the service was there') as unknown,
    });
  }),
);

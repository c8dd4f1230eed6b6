import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/compare.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

/** Runs the command as a person would, with nothing but Database 1 named. */
async function leave(world: World): Promise<{ code: number | null; output: string }> {
  const env = Object.fromEntries(Object.entries(world.environment()).filter(([name]) => /^(DB1|CAPTURE)/.test(name)));
  const child = spawn(process.execPath, ['dist/apps/cli/src/decommission.command.js'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
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

/** Side by side: the command waits for a process that may be ending. */
test.concurrent(
  'what costs the database something goes, and who comes back misses nothing',
  () =>
    World.lend(async (world) => {
      await world.start();
      await write(world, 'before');
      await expectEqualDatabases(world);
      await eventually(async () => (await leftOf(world, 'pg_replication_slots')) === 1);
      await world.stop();
      const { code, output } = await leave(world);
      expect(output).toContain(`dropped: replication slot ${world.name}, publication subscription_sync`);
      expect(code).toBe(0);
      expect([await leftOf(world, 'pg_replication_slots'), await leftOf(world, 'pg_publication')]).toEqual([0, 0]);
      await write(world, 'meanwhile');
      await world.start();
      await write(world, 'after');
      await expectEqualDatabases(world);
      const metrics = await (await fetch(`${world.url}/metrics`)).text();
      // Given up on purpose, the slot is no loss.
      expect(metrics).toContain('subscription_sync_slots_replaced_total{reason="missing"} 0');
    }),
  60_000,
);

test.concurrent(
  'not while a sync process runs',
  () =>
    World.lend(async (world) => {
      await world.start();
      await world.ready();
      const { code, output } = await leave(world);
      expect(output).toBe("Can't leave: A sync process still captures this database: stop it first, and then try again\n");
      expect(code).toBe(1);
      await write(world, 'still');
      await expectEqualDatabases(world);
    }),
  60_000,
);

test.concurrent(
  'twice, or where the service never was, there is nothing to do',
  () =>
    World.lend(async (world) => {
      expect((await leave(world)).output).toContain('nothing of ours');
      await world.db1.query('DROP TABLE sync_checkpoint');
      expect(await leave(world)).toMatchObject({ code: 0, output: expect.stringContaining('nothing of ours') as unknown });
    }),
  60_000,
);

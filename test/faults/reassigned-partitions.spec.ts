import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/compare.js';
import { eventually } from '../harness/eventually.js';
import { lockWaits } from '../harness/lock-waits.js';
import { readinessOf } from '../harness/readiness.js';
import { World } from '../harness/world.js';

const PARTITIONS = 3;

/** What a replica has in hand in DB2: its sessions that wait for a lock. */
const waiting = ({ db2, name }: World): Promise<number[]> => lockWaits(db2, name);

async function partitionsOf(url: string): Promise<readonly number[]> {
  const { checks } = await readinessOf(url);
  return (checks['replica'] as { partitions?: readonly number[] } | undefined)?.partitions ?? [];
}

test('what fails after its partition was given to another member leaves the one that had it ready', () =>
  World.lend(async (world) => {
    await world.start();
    await world.ready();
    const blocker = await world.db2.connect();
    const second = world.beside({ servers: [['replica']] });
    try {
      await blocker.query('BEGIN; LOCK TABLE replicated_subscriptions IN EXCLUSIVE MODE');
      await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 100) i`);
      const end = (pids: readonly number[]): Promise<unknown> =>
        blocker.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [pids]);
      const inHandBut = (before: readonly number[]): Promise<number[]> =>
        eventually(async () => {
          const pids = (await waiting(world)).filter((pid) => !before.includes(pid));
          return pids.length === PARTITIONS ? pids : undefined;
        });
      const first = await inHandBut([]);
      // Tried again, and not well before that succeeds.
      await end(first);
      const inHand = await inHandBut(first);
      expect((await readinessOf(world.url)).checks['replica']?.error).toMatch(/^partition \d waits at offset/);
      await second.start();
      const taken = await eventually(async () => {
        const [left, given] = [await partitionsOf(world.url), await partitionsOf(second.url)];
        return given.length > 0 && !left.some((partition) => given.includes(partition)) ? given : undefined;
      });
      // Both members have them in hand.
      await eventually(async () => (await waiting(world)).length === PARTITIONS + taken.length);
      await end(inHand);
      await blocker.query('COMMIT');
      await expectEqualDatabases(world);
      for (const { url } of [world, second]) await eventually(async () => (await readinessOf(url)).status === 'ok');
    } finally {
      await blocker.query('ROLLBACK');
      blocker.release();
      await second.stop();
    }
    expect(await waiting(world)).toEqual([]);
  }));

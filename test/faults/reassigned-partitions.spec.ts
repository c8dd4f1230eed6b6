import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { lockWaits, World } from '../harness/world.js';

const PARTITIONS = 3;
const INSERT = `INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 100) i`;

/** Returns the sessions (pids) of DB2 that wait for a lock: the replica's batches in flight. */
const waiting = ({ db2, name }: World): Promise<number[]> => lockWaits(db2, name);

async function partitionsOf(url: string): Promise<readonly number[]> {
  const { checks } = await readinessOf(url);
  return (checks['replica'] as { partitions?: readonly number[] } | undefined)?.partitions ?? [];
}

test('a batch that fails after its partition was reassigned leaves its former member ready', () =>
  World.lend(async (world) => {
    await world.start();
    await world.ready();
    const blocker = await world.db2.connect();
    const second = world.beside({ servers: [['replica']] });
    try {
      // The replica waits for the end of each row's insertion: partitions that share a transaction get their own after a while.
      await blocker.query(`BEGIN; ${INSERT}`);
      await world.db1.query(INSERT);
      const end = (pids: readonly number[]): Promise<unknown> =>
        blocker.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [pids]);
      const inFlightExcept = (before: readonly number[]): Promise<number[]> =>
        eventually(async () => {
          const pids = (await waiting(world)).filter((pid) => !before.includes(pid));
          return pids.length === PARTITIONS ? pids : undefined;
        });
      const first = await inFlightExcept([]);
      // The batch is retried, and the member is not healthy before the retry succeeds.
      await end(first);
      const inFlight = await inFlightExcept(first);
      expect((await readinessOf(world.url)).checks['replica']?.error).toMatch(/^partition \d waits at offset/);
      await second.start();
      const taken = await eventually(async () => {
        const [left, given] = [await partitionsOf(world.url), await partitionsOf(second.url)];
        return given.length > 0 && !left.some((partition) => given.includes(partition)) ? given : undefined;
      });
      // Both members have the batches in flight.
      await eventually(async () => (await waiting(world)).length === PARTITIONS + taken.length);
      await end(inFlight);
      await blocker.query('ROLLBACK');
      await expectEqualDatabases(world);
      for (const { url } of [world, second]) await eventually(async () => (await readinessOf(url)).status === 'ok');
    } finally {
      await blocker.query('ROLLBACK');
      blocker.release();
      await second.stop();
    }
    expect(await waiting(world)).toEqual([]);
  }));

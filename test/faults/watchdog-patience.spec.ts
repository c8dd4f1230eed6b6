import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { Parts } from '../harness/parts.js';
import { readinessOf, restartsOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World, type WorldOptions } from '../harness/world.js';

/** The cases run concurrently, so no part may seem stalled because others start. */
const STALL_MS = 2_000;
const LONG_MS = 3 * STALL_MS;

/** Blocks a world's changes. @returns what removes the obstacle. */
type Obstruct = (world: World) => Promise<() => Promise<unknown>>;

/** Runs a world whose changes are blocked for a long time by each obstacle in turn, and expects that no part of it is restarted. */
async function expectNoRestart(options: WorldOptions, obstacles: readonly Obstruct[]): Promise<void> {
  const world = await World.started({ ...options, env: { ...options.env, STALL_TIMEOUT_MS: String(STALL_MS) } });
  const write = (email: string): Promise<unknown> => world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
  try {
    for (const [index, obstruct] of obstacles.entries()) {
      await write(`before${index}@example.com`);
      await expectEqualDatabases(world);
      const repair = await obstruct(world);
      try {
        await write(`after${index}@example.com`);
        await delay(LONG_MS);
        for (const part of ['sync', 'replica'] as const) expect([index, await restartsOf(world.url, part)]).toEqual([index, 0]);
        expect((await readinessOf(world.url)).checks['watchdog']).toEqual({ status: 'up' });
      } finally {
        await repair();
      }
      await expectEqualDatabases(world, 60_000);
    }
  } finally {
    await world.close();
  }
}

async function behindProxy(...kinds: ('refuse' | 'black-hole')[]): Promise<void> {
  const proxy = await TcpProxy.to(placeOf('db2'));
  const obstacles = kinds.map((kind): Obstruct => async () => {
    await proxy.set({ kind });
    return () => proxy.set({ kind: 'pass' });
  });
  await expectNoRestart({ env: { DB2_HOST: '127.0.0.1', DB2_PORT: String(proxy.port) } }, obstacles).finally(() => proxy.close());
}

async function withoutKafka(): Promise<void> {
  const parts = await Parts.start(['kafka']);
  const silent: Obstruct = () => {
    parts.pause('kafka');
    return Promise.resolve(() => {
      parts.resume('kafka');
      return Promise.resolve();
    });
  };
  const gone: Obstruct = async () => {
    await parts.stop('kafka');
    return () => parts.restart('kafka');
  };
  await expectNoRestart({ parts: parts.addresses }, [silent, gone]).finally(() => parts.close());
}

function blockedBy(block: string, unblock: string): Obstruct {
  return async ({ db2 }) => {
    const client = await db2.connect();
    await client.query(block);
    return async () => {
      await client.query(unblock);
      client.release();
    };
  };
}

test.concurrent.each<[string, () => Promise<void>]>([
  ['a DB2 that refuses connections, and one whose connections swallow everything', () => behindProxy('refuse', 'black-hole')],
  ['a Kafka that does not answer, and one that is down', withoutKafka],
  [
    'a lock in DB2, and a table of DB2 that an operator has to restore',
    () =>
      expectNoRestart({}, [
        blockedBy('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE', 'COMMIT'),
        blockedBy('ALTER TABLE subscription_sync.positions RENAME TO away', 'ALTER TABLE subscription_sync.away RENAME TO positions'),
      ]),
  ],
])('a known reason to wait does not count as a stall: %s', (_, expectNoStall) => expectNoStall(), 150_000);

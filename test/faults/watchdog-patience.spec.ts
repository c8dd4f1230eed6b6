import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { Parts } from '../harness/parts.js';
import { readinessOf, restartsOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World, type WorldOptions } from '../harness/world.js';

/** The cases run concurrently, so no part may seem stalled because others start. */
const STALL_MS = 2_000;
const LONG_MS = 3 * STALL_MS;

/** Removes the obstacle to `world`'s changes. */
type Repair = () => Promise<unknown>;

/** Runs a world whose changes are blocked for a long time, and expects that no part of it is restarted. */
async function expectNoRestart(options: WorldOptions, obstruct: (world: World) => Promise<Repair>): Promise<void> {
  const world = await World.started({ ...options, env: { ...options.env, STALL_TIMEOUT_MS: String(STALL_MS) } });
  const write = (email: string): Promise<unknown> => world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
  await write('before@example.com');
  await expectEqualDatabases(world);
  const repair = await obstruct(world);
  try {
    await write('after@example.com');
    await delay(LONG_MS);
    for (const part of ['sync', 'replica'] as const) expect(await restartsOf(world.url, part)).toBe(0);
    expect((await readinessOf(world.url)).checks['watchdog']).toEqual({ status: 'up' });
  } finally {
    await repair();
  }
  await expectEqualDatabases(world, 60_000).finally(() => world.close());
}

async function behindProxy(kind: 'refuse' | 'black-hole'): Promise<void> {
  const plain = await World.create();
  const proxy = await TcpProxy.to(plain.addresses.db2);
  await plain.close();
  await expectNoRestart({ env: { DB2_HOST: '127.0.0.1', DB2_PORT: String(proxy.port) } }, async () => {
    await proxy.set({ kind });
    return () => proxy.set({ kind: 'pass' });
  }).finally(() => proxy.close());
}

async function withoutKafka(how: 'gone' | 'silent'): Promise<void> {
  const parts = await Parts.start(['kafka']);
  await expectNoRestart({ parts: parts.addresses }, async () => {
    if (how === 'gone') await parts.stop('kafka');
    else parts.pause('kafka');
    return async () => (how === 'gone' ? parts.restart('kafka') : parts.resume('kafka'));
  }).finally(() => parts.close());
}

async function blockedBy(block: string, unblock: string): Promise<void> {
  await expectNoRestart({}, async ({ db2 }) => {
    const client = await db2.connect();
    await client.query(block);
    return async () => {
      await client.query(unblock);
      client.release();
    };
  });
}

test.concurrent.each<[string, () => Promise<void>]>([
  ['a connection to DB2 that swallows everything', () => behindProxy('black-hole')],
  ['a DB2 that refuses connections', () => behindProxy('refuse')],
  ['a Kafka that is down', () => withoutKafka('gone')],
  ['a Kafka that does not answer', () => withoutKafka('silent')],
  ['a lock in DB2', () => blockedBy('BEGIN; LOCK TABLE replicated_subscriptions IN EXCLUSIVE MODE', 'COMMIT')],
  [
    'a table of DB2 that an operator has to restore',
    () => blockedBy('ALTER TABLE replica_positions RENAME TO away', 'ALTER TABLE away RENAME TO replica_positions'),
  ],
])('a known reason to wait does not count as a stall: %s', (_, expectNoStall) => expectNoStall(), 150_000);

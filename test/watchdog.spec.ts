import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import { ClientKafka } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Consumer } from 'kafkajs';
import { NEVER } from 'rxjs';
import { readSettings } from '#config';
import { BatchStrategy } from '#replica';
import { AppModule } from '../apps/server/src/app.module.js';
import { expectEqualDatabases } from './harness/compare.js';
import { eventually } from './harness/eventually.js';
import { Parts } from './harness/parts.js';
import { readinessOf } from './harness/readiness.js';
import { ServerProcess } from './harness/server-process.js';
import { TcpProxy } from './harness/tcp-proxy.js';
import { makeTemplates } from './harness/templates.js';
import { World } from './harness/world.js';

const STALL_MS = 1_000;
const env = { STALL_TIMEOUT_MS: String(STALL_MS) };

let world: World;

const write = (email: string): Promise<unknown> => world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);

async function restartsOf(url: string, part: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^subscription_sync_restarts_total\\{part="${part}"\\} (\\d+)$`, 'm').exec(text)![1]);
}

describe('a consumer that died silently', () => {
  let replica: NestFastifyApplication;

  afterEach(async () => {
    await replica.close();
    await world.close();
  });

  test.each([
    ['it reads no partition any more', (consumer: Consumer) => consumer.pause([{ topic: world.topic }])],
    ['it left its group', (consumer: Consumer) => consumer.stop()],
  ])('%s: the replica is restarted and goes on', async (_, kill) => {
    world = await World.create({ servers: [['api', 'sync']], env });
    await world.start();
    replica = await NestFactory.create<NestFastifyApplication>(
      AppModule.forRoot(readSettings(world.environment(['replica']))),
      new FastifyAdapter(),
      { logger: false },
    );
    const strategy = replica.get(BatchStrategy);
    replica.connectMicroservice({ strategy });
    await replica.init();
    await replica.startAllMicroservices();
    await replica.listen(0);
    const url = await replica.getUrl();
    await write('before@example.com');
    await expectEqualDatabases(world);
    expect(await restartsOf(url, 'replica')).toBe(0);
    const [, consumer] = strategy.unwrap<[unknown, Consumer]>();
    await kill(consumer);
    await write('after@example.com');
    await expectEqualDatabases(world);
    expect(await restartsOf(url, 'replica')).toBe(1);
    await eventually(async () => (await readinessOf(url)).status === 'ok');
  });
});

test('a send that is never answered: sync is restarted with another connection, and nothing is lost', async () => {
  world = await World.started({ env });
  await write('before@example.com');
  await expectEqualDatabases(world);
  const emit = jest.spyOn(ClientKafka.prototype, 'emitBatch').mockReturnValueOnce(NEVER);
  await write('after@example.com');
  await expectEqualDatabases(world);
  emit.mockRestore();
  expect(await restartsOf(world.url, 'sync')).toBe(1);
  expect(await restartsOf(world.url, 'replica')).toBe(0);
  await world.close();
});

test('a part that a restart does not help: readiness says which and since when, and the process ends with 1', async () => {
  world = await World.create({ env });
  const server = await ServerProcess.start({ ...world.environment(['replica']), LOG_LEVEL: 'error' });
  // Readers get nothing beyond the first record of a transaction that another program leaves open.
  const producer = world.kafka.producer({ transactionalId: world.name, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic: world.topic, messages: [{ key: 'open@example.com', value: 'never seen' }] });
  const ready = await eventually(async () => {
    const now = await readinessOf(server.url);
    return now.checks['watchdog']?.status === 'down' ? now : undefined;
  }, 40_000);
  expect(ready).toMatchObject({
    code: 503,
    checks: {
      watchdog: { error: expect.stringMatching(/^replica is behind and got nothing done since \d{4}-.*, although it was restarted$/) },
    },
  });
  expect(await server.exit()).toBe(1);
  expect(server.output).toMatch(/\nreplica is behind and got nothing done since .* The process ends\.\n$/);
  await transaction.abort();
  await producer.disconnect();
  await world.close();
}, 90_000);

describe('what is known to be waited for is no stall', () => {
  const LONG_MS = 8 * STALL_MS;
  let restore: () => Promise<void>;

  const expectLeftAlone = async (): Promise<void> => {
    await write('after@example.com');
    await delay(LONG_MS);
    for (const part of ['sync', 'replica']) expect(await restartsOf(world.url, part)).toBe(0);
    expect((await readinessOf(world.url)).checks['watchdog']).toEqual({ status: 'up' });
    await restore();
    await expectEqualDatabases(world);
    await world.close();
  };

  test.each(['gone', 'silent'] as const)(
    'Kafka is %s',
    async (how) => {
      const parts = await Parts.start();
      await makeTemplates(parts.addresses);
      world = await World.started({ env, parts: parts.addresses });
      await write('before@example.com');
      await expectEqualDatabases(world);
      if (how === 'gone') await parts.stop('kafka');
      else parts.pause('kafka');
      restore = async () => (how === 'gone' ? parts.restart('kafka') : parts.resume('kafka'));
      await expectLeftAlone();
      await parts.close();
    },
    90_000,
  );

  test.each(['refuse', 'black-hole'] as const)(
    'DB2 is behind a way of the mode %s',
    async (kind) => {
      const plain = await World.create();
      const proxy = await TcpProxy.to(plain.addresses.db2);
      await plain.close();
      world = await World.started({ env: { ...env, DB2_HOST: '127.0.0.1', DB2_PORT: String(proxy.port) } });
      await proxy.set({ kind });
      restore = () => proxy.set({ kind: 'pass' });
      await expectLeftAlone();
      await proxy.close();
    },
    90_000,
  );

  test.each([
    ['a lock in DB2', 'BEGIN; LOCK TABLE replicated_subscriptions IN EXCLUSIVE MODE', 'COMMIT'],
    [
      'a table that somebody has to bring back',
      'ALTER TABLE replica_positions RENAME TO away',
      'ALTER TABLE away RENAME TO replica_positions',
    ],
  ])(
    '%s',
    async (_, block, unblock) => {
      world = await World.started({ env });
      const client = await world.db2.connect();
      await client.query(block);
      restore = async () => {
        await client.query(unblock);
        client.release();
      };
      await expectLeftAlone();
    },
    90_000,
  );
});

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import { ClientKafka } from '@nestjs/microservices';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AssignerProtocol, type Consumer, type PartitionAssigner } from 'kafkajs';
import { NEVER } from 'rxjs';
import { readSettings } from '#config';
import { BatchStrategy, ensureTopic } from '#kafka';
import { AppModule } from '../../apps/server/src/app.module.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf, restartsOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { World } from '../harness/world.js';

const STALL_MS = 1_000;
const env = { STALL_TIMEOUT_MS: String(STALL_MS) };

let world: World;

const write = (email: string): Promise<unknown> => world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);

describe('a consumer that silently stopped', () => {
  let replica: NestFastifyApplication;
  let count = 0;

  beforeAll(async () => {
    world = await World.create({ servers: [['api', 'sync']], env });
    await world.start();
  });
  afterAll(() => world.close());
  afterEach(() => replica.close());

  test.each([
    [
      'it no longer reads any partition',
      (consumer: Consumer) => {
        consumer.pause([{ topic: world.topic }]);
        return Promise.resolve();
      },
    ],
    ['it left its group', (consumer: Consumer) => consumer.stop()],
  ])('%s: the replica is restarted and continues', async (_, kill) => {
    count += 1;
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
    await write(`before${count}@example.com`);
    await expectEqualDatabases(world);
    const restarts = await restartsOf(url, 'replica');
    const [, consumer] = strategy.unwrap<[unknown, Consumer]>();
    await kill(consumer);
    await write(`after${count}@example.com`);
    await expectEqualDatabases(world);
    expect(await restartsOf(url, 'replica')).toBeGreaterThan(restarts);
    await eventually(async () => (await readinessOf(url)).status === 'ok');
  });
});

test('when a send is never answered, sync is restarted with another connection, and nothing is lost', async () => {
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

/** An assigner that the service's members do not know: a group must agree on one. */
const foreignAssigner: PartitionAssigner = () => ({
  name: 'Foreign',
  version: 1,
  assign: ({ members, topics }) => {
    const assignment = Object.fromEntries(topics.map((topic) => [topic, [0, 1, 2]]));
    const memberAssignment = AssignerProtocol.MemberAssignment.encode({ version: 1, assignment, userData: Buffer.alloc(0) });
    return Promise.resolve(members.slice(0, 1).map(({ memberId }) => ({ memberId, memberAssignment })));
  },
  protocol: ({ topics }) => ({
    name: 'Foreign',
    metadata: AssignerProtocol.MemberMetadata.encode({ version: 1, topics, userData: Buffer.alloc(0) }),
  }),
});

test('when a restart does not help a part, readiness reports the part and the time, and the process exits with 1', async () => {
  world = await World.create({ env });
  await ensureTopic(readSettings(world.environment()).kafka!, TEST_TIMINGS.kafka, 'read');
  const foreign = world.kafka.consumer({ groupId: world.name, partitionAssigners: [foreignAssigner] });
  await foreign.connect();
  await foreign.subscribe({ topic: world.topic });
  const joined = new Promise((resolve) => foreign.on('consumer.group_join', resolve));
  await foreign.run({ eachMessage: () => Promise.resolve() });
  await joined;
  const server = await ServerProcess.launch({ ...world.environment(['replica']), LOG_LEVEL: 'error' });
  const ready = await eventually(async () => {
    const now = await readinessOf(server.url).catch(() => undefined);
    return now?.checks['watchdog']?.status === 'down' ? now : undefined;
  }, 60_000);
  expect(ready).toMatchObject({
    code: 503,
    checks: {
      watchdog: { error: expect.stringMatching(/^replica is behind and has made no progress since \d{4}-.*, although it was restarted$/) },
    },
  });
  expect(await server.exit()).toBe(1);
  expect(server.output).toMatch(/\nreplica is behind and has made no progress since .* The process ends\.\n/);
  await foreign.disconnect();
  await world.close();
});

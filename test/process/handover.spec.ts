import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

/** Time (ms) that others wait for a member that leaves its group without a message. */
const SESSION_TIMEOUT_MS = 30_000;
const AT_ONCE_MS = 5_000;
const ROLES = ['sync', 'replica'] as const;

let world: World;
let processes: ServerProcess[];

beforeEach(async () => {
  world = await World.create({ servers: [ROLES], env: { KAFKA_SESSION_TIMEOUT_MS: String(SESSION_TIMEOUT_MS) } });
  processes = [];
});
afterEach(async () => {
  await Promise.all(processes.map((process) => process.signal('SIGKILL')));
  await world.close();
});

async function start(): Promise<ServerProcess> {
  const server = await ServerProcess.start(world.environment(ROLES));
  processes.push(server);
  return server;
}

/** Starts a server in this process, for a test that neither kills nor signals it. */
async function startInside(): Promise<void> {
  await world.start();
  await world.ready();
}

/** Writes until the returned function is called: a thousand rows a second, which leave time for starting processes. */
function keepWriting(): () => Promise<void> {
  let going = true;
  const writing = (async (): Promise<void> => {
    for (let i = 0; going; i += 1) {
      await world.db1.query(
        `INSERT INTO subscriptions (email, plan) SELECT 'user' || n || '@example.com', $1 FROM generate_series(1, 100) n
         ON CONFLICT (email) DO UPDATE SET plan = excluded.plan`,
        [`p${i}`],
      );
      await delay(100);
    }
  })();
  return () => {
    going = false;
    return writing;
  };
}

/** Returns the state of the consumer group: committed offsets by partition, and the number of members. */
async function groupState(): Promise<{ committed: Map<number, bigint>; members: number }> {
  const admin = world.kafka.admin();
  await admin.connect();
  const [offsets, { groups }] = await Promise.all([
    admin.fetchOffsets({ groupId: world.name, topics: [world.topic] }),
    admin.describeGroups([world.name]),
  ]);
  await admin.disconnect();
  return {
    committed: new Map(offsets[0]!.partitions.map(({ partition, offset }) => [partition, BigInt(offset)])),
    members: groups[0]!.members.length,
  };
}

async function appliedPositions(): Promise<Map<number, bigint>> {
  const { rows } = await world.db2.query<{ partition: number; next: string }>(
    'SELECT partition, "offset" + 1 AS next FROM subscription_sync.positions',
  );
  return new Map(rows.map(({ partition, next }) => [partition, BigInt(next)]));
}

test('SIGTERM in the middle of a stream commits all offsets that are in DB2, leaves the group, and exits with 0', async () => {
  const server = await start();
  const stop = keepWriting();
  await eventually(
    async () => [...(await appliedPositions()).values()].every((next) => next > 500n) && (await appliedPositions()).size === 3,
  );
  expect(await server.signal('SIGTERM')).toBe(0);
  const { committed, members } = await groupState();
  expect(members).toBe(0);
  expect(committed).toEqual(await appliedPositions());
  await stop();
  await startInside();
  await expectEqualDatabases(world);
});

test('SIGTERM hands over at once: the standby captures, and the other replica gets all partitions', async () => {
  const first = await start();
  await startInside();
  await eventually(async () => (await readinessOf(world.url)).checks['sync']?.state === 'standby');
  const stop = keepWriting();
  const signalledAt = Date.now();
  expect(await first.signal('SIGTERM')).toBe(0);
  const ended = Date.now() - signalledAt;
  const taken = { lease: 0, partitions: 0 };
  await eventually(async () => {
    const { sync, replica } = (await readinessOf(world.url)).checks as Record<string, { state?: string; partitions?: number[] }>;
    if (sync?.state === 'running') taken.lease ||= Date.now() - signalledAt;
    if (replica?.partitions?.length === 3) taken.partitions ||= Date.now() - signalledAt;
    return taken.lease > 0 && taken.partitions > 0;
  });
  process.stdout.write(`handover, ms after SIGTERM: end ${ended}, lease ${taken.lease}, partitions ${taken.partitions}\n`);
  expect(taken.lease).toBeLessThan(AT_ONCE_MS);
  expect(taken.partitions).toBeLessThan(AT_ONCE_MS);
  await stop();
  await expectEqualDatabases(world);
});

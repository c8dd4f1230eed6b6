import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Balancer } from '../harness/http-clients.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

const WRITERS = 24;
/**
 * Pause (ms) between two writes of a writer: a hundred writes a second in all. At full speed, the writers would take the processors
 * from starting processes.
 */
const PAUSE_MS = 200;

let world: World;
let balancer: Balancer;
let processes: ServerProcess[];
let successors: World[];

beforeEach(async () => {
  world = await World.create({ env: { SHUTDOWN_DELAY_MS: '3000' } });
  balancer = new Balancer();
  processes = [];
  successors = [];
});
afterEach(async () => {
  balancer.close();
  await Promise.all([...processes.map((process) => process.signal('SIGKILL')), ...successors.map((successor) => successor.stop())]);
  await world.close();
});

async function start(): Promise<ServerProcess> {
  const server = await ServerProcess.start(world.environment());
  processes.push(server);
  balancer.add(server.url);
  return server;
}

/** Starts a successor, which is not stopped under load, in this process. */
async function startSuccessor(): Promise<void> {
  const successor = world.beside({});
  successors.push(successor);
  await successor.start();
  await successor.ready();
  balancer.add(successor.url);
}

test(`during a rolling restart under the load of ${WRITERS} writers no request fails, and nothing is lost`, async () => {
  const serving = [await start(), await start()];
  const statuses = new Map<number, number>();
  const failures: string[] = [];
  let writing = true;
  let written = 0;
  const load = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let i = 0; writing; i += 1) {
      try {
        const status = await balancer.put(`/subscriptions/w${writer}-${i % 10}@example.com`, { status: 'active', plan: `p${i}` });
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        written += 1;
        await delay(PAUSE_MS);
      } catch (error) {
        failures.push((error as Error).message);
        return;
      }
    }
  });
  const codes: (number | null)[] = [];
  for (const old of serving) {
    await startSuccessor();
    const before = written;
    await eventually(() => written > before + 100);
    codes.push(await old.signal('SIGTERM'));
    balancer.remove(old.url);
  }
  writing = false;
  await Promise.all(load);
  process.stdout.write(`rolling restart: ${written} writes, ${balancer.closedConnections} kept connections closed under a request\n`);
  expect(failures).toEqual([]);
  expect([...statuses.keys()].sort()).toEqual([200, 201]);
  expect(codes).toEqual(codes.map(() => 0));
  expect(balancer.closedConnections).toBeLessThanOrEqual(codes.length);
  await expectEqualDatabases(world);
}, 240_000);

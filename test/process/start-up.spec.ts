import { afterEach, expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';

/** Time limit (ms) for the exit: kafkajs may be in the middle of an attempt. */
const PROMPTLY_MS = 8_000;

let world: World;
let gate: TcpProxy | undefined;

afterEach(async () => {
  await gate?.close();
  gate = undefined;
  await world.close();
});

/** Creates a world with a part that can't be reached. */
async function without(part: 'db1' | 'db2' | 'kafka'): Promise<void> {
  gate = await TcpProxy.to(placeOf(part), { kind: 'refuse' });
  const prefix = part.toUpperCase();
  const env =
    part === 'kafka'
      ? { KAFKA_SERVER: `127.0.0.1:${gate.port}` }
      : { [`${prefix}_HOST`]: '127.0.0.1', [`${prefix}_PORT`]: String(gate.port) };
  world = await World.create({ env });
}

test.each(['db1', 'db2', 'kafka'] as const)('SIGTERM while %s is not up yet ends the process promptly with 0', async (part) => {
  await without(part);
  const server = await ServerProcess.launch({ ...world.environment(), SHUTDOWN_DELAY_MS: '1000' });
  await eventually(async () => (await readinessOf(server.url)).checks[part]?.status === 'down');
  const signalledAt = Date.now();
  expect(await server.signal('SIGTERM')).toBe(0);
  expect(Date.now() - signalledAt).toBeLessThan(PROMPTLY_MS);
});

test('SIGTERM while the program is still loading ends the process with 0', async () => {
  world = await World.create();
  const server = await ServerProcess.launch({ ...world.environment(), LOG_LEVEL: 'info' });
  // The server prints its first line long before it listens.
  await eventually(() => server.output !== '');
  expect(await server.signal('SIGTERM')).toBe(0);
});

test('readiness answers 200 only after sync and replica have started', async () => {
  world = await World.create();
  await world.start();
  const first = await readinessOf(world.url);
  expect(first.code).toBe(503);
  const ready = await eventually(async () => {
    const now = await readinessOf(world.url);
    return now.code === 200 ? now : undefined;
  });
  expect(ready.checks).toMatchObject({ sync: { status: 'up' }, replica: { status: 'up' } });
});

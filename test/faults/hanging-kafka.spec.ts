import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { ServerProcess } from '../harness/server-process.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { World } from '../harness/world.js';

/** Timeout (ms) after which a connection to a Kafka that hangs is closed. */
const UNRESPONSIVE_MS = 4_000;
/** Time limit (ms) for the exit: several timeouts in a row. */
const EXIT_MS = 3 * UNRESPONSIVE_MS;

let parts: Parts;
let world: World;
let server: ServerProcess | undefined;

beforeEach(async () => {
  parts = await Parts.start(['kafka']);
  const kafka = { ...TEST_TIMINGS.kafka, unresponsiveTimeoutMs: UNRESPONSIVE_MS };
  world = await World.create({ parts: parts.addresses, timings: { kafka } });
});
afterEach(async () => {
  parts.resume('kafka');
  await server?.signal('SIGKILL');
  await world.close();
  await parts.close();
});

async function captured({ url }: ServerProcess): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^subscription_sync_captured_total (\d+)$/m.exec(text)?.[1]);
}

test('after SIGTERM while Kafka hangs with a batch in flight, the process exits with 0, and the next one publishes the batch', async () => {
  const first = (server = await ServerProcess.start(world.environment()));
  parts.pause('kafka');
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 500) i`);
  await eventually(async () => (await captured(first)) > 0);
  const signalledAt = Date.now();
  const code = await first.signal('SIGTERM');
  expect({ code, output: first.output }).toEqual({ code: 0, output: '' });
  expect(Date.now() - signalledAt).toBeLessThan(EXIT_MS);
  parts.resume('kafka');
  await world.start();
  await expectEqualDatabases(world);
});

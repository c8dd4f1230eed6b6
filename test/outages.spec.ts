import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectEqualDatabases } from './harness/compare.js';
import { Parts } from './harness/parts.js';
import { ServerProcess } from './harness/server-process.js';
import { makeTemplates } from './harness/templates.js';
import { World } from './harness/world.js';

/** The length that the promise names. Shorter outages prove less: clients give up or change their tactics after seconds. */
const OUTAGE_MS = 20_000;

let parts: Parts;
let world: World;
let server: ServerProcess;

beforeAll(async () => {
  parts = await Parts.start();
  await makeTemplates(parts.addresses);
  world = await World.create({ parts: parts.addresses });
  server = await ServerProcess.start(world.environment());
}, 60_000);

afterAll(async () => {
  await server.signal('SIGTERM');
  await world.close();
  await parts.close();
});

let written = 0;

/** One write by the API and one by SQL. @returns the API's answer. */
async function write(): Promise<number> {
  written += 1;
  const response = await fetch(`${server.url}/subscriptions/api${written}@example.com`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ status: 'active' }),
  });
  await response.arrayBuffer();
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET status = 'paused', plan = $2`,
    [`sql${written % 100}@example.com`, String(written)],
  );
  return response.status;
}

test.each(['kafka', 'db2'] as const)(
  '%s away for 20 s: API writes go on, and everything arrives after',
  async (part) => {
    await write();
    const stopping = parts.stop(part);
    const until = Date.now() + OUTAGE_MS;
    const answers: Record<number, number> = {};
    while (Date.now() < until) {
      const status = await write();
      answers[status] = (answers[status] ?? 0) + 1;
      await delay(10);
    }
    await stopping;
    expect(Object.keys(answers)).toEqual(['201']);
    expect(answers[201]).toBeGreaterThan(200);
    await parts.restart(part);
    await write();
    await expectEqualDatabases(world, 60_000);
  },
  120_000,
);

test('the process killed again and again in the middle of 5,000 writes', async () => {
  const target = 5_000;
  let done = 0;
  const writing = (async (): Promise<void> => {
    for (; done < target; done += 10) {
      await world.db1.query(
        `INSERT INTO subscriptions (email, status) SELECT 'k' || (i % 700) || '@example.com', 'active' FROM generate_series($1::int, $1::int + 9) i
         ON CONFLICT (email) DO UPDATE SET plan = excluded.email || $1::text`,
        [done],
      );
    }
  })();
  for (let kill = 1; kill <= 3; kill += 1) {
    while (done < (target / 4) * kill) await delay(1);
    await server.signal('SIGKILL');
    server = await ServerProcess.start(world.environment());
  }
  await writing;
  await expectEqualDatabases(world, 60_000);
}, 120_000);

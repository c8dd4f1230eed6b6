import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sizeOf } from '../../harness/long-tests.js';
import { HEAP_LIMIT_MB, WatchedProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';

const LINES = sizeOf({ usual: 10_000, long: 100_000 });

let world: World;
let api: WatchedProcess;

beforeEach(async () => {
  world = await World.create();
  api = await WatchedProcess.start(world, 'api');
});
afterEach(async () => {
  await api.server.signal('SIGKILL');
  await world.close();
});

function* lines(): Generator<string> {
  for (let i = 0; i < LINES; i += 1) {
    const row = {
      email: `user${i}@example.com`,
      status: 'active',
      plan: 'pro',
      access_until: '2027-01-31T00:00:00Z',
      metadata: { source: 'import', n: i },
    };
    yield `${JSON.stringify(row)}\n`;
  }
}

test(`${LINES} lines are imported and exported as streams in bounded memory`, async () => {
  const began = performance.now();
  const response = await fetch(`${api.server.url}/subscriptions/import`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(Readable.from(lines())),
    duplex: 'half',
  });
  const imported = performance.now() - began;
  expect(await response.json()).toMatchObject({ state: 'finished', lines: LINES, created: LINES, refused: 0 });
  const exporting = performance.now();
  let bytes = 0;
  let rows = 0;
  for await (const chunk of (await fetch(`${api.server.url}/subscriptions/export?format=csv`)).body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    rows += Buffer.from(chunk).filter((byte) => byte === 0x0a).length;
  }
  const exported = performance.now() - exporting;
  expect(rows).toBe(LINES + 1);
  process.stdout.write(
    `  ${LINES} lines: in ${Math.round(imported)} ms, out ${Math.round(exported)} ms (${Math.round(bytes / 1024)} KB); ${api.toString()}\n`,
  );
  // The target for 100,000 lines is 10 s on an idle machine; a busy one may take longer.
  expect(imported).toBeLessThan(60_000);
  expect(api.peak.heap).toBeLessThan(HEAP_LIMIT_MB / 2);
  expect(await api.stop()).toEqual({ code: 0, output: '' });
});

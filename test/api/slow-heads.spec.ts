import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { World } from '../harness/world.js';

const HEAD_TIMEOUT_MS = 1_000;
let world: World;

beforeAll(async () => {
  const shared = await World.shared();
  world = await shared.startBeside({ servers: [['api']], timings: { http: { headTimeoutMs: HEAD_TIMEOUT_MS, headCheckMs: 100 } } });
});
afterAll(() => world.stop());

async function open(): Promise<Socket> {
  const { hostname, port } = new URL(world.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

test.each([
  ['nothing', ''],
  ['a part of the head', 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: '],
])('a client that sends %s is answered 408 when its time for the head is over, and disconnected', async (_, sent) => {
  const socket = await open();
  const began = Date.now();
  socket.write(sent);
  expect(await text(socket)).toMatch(/^HTTP\/1.1 408 /);
  expect(Date.now() - began).toBeGreaterThanOrEqual(HEAD_TIMEOUT_MS - 100);
  expect(Date.now() - began).toBeLessThan(HEAD_TIMEOUT_MS + 2_000);
});

test('a head has the 15 s of the documents, and a second until that is noticed', () => {
  expect(DEFAULT_TIMINGS.http).toEqual({ headTimeoutMs: 15_000, headCheckMs: 1_000 });
});

import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually, readinessOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { lockWaits, World } from '../harness/world.js';

let world: World;
let server: ServerProcess;

beforeEach(async () => {
  world = await World.create();
});
afterEach(async () => {
  await server.signal('SIGKILL');
  await world.close();
});

function put(email: string, signal?: AbortSignal): Promise<Response> {
  return fetch(`${server.url}/subscriptions/${email}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{"status":"active"}',
    ...(signal ? { signal } : {}),
  });
}

/** Starts a write that waits for a row that this test has locked; `answer` may be called once `release` was called. */
async function startSlowWrite(email: string, signal?: AbortSignal): Promise<{ answer: Promise<Response>; release: () => Promise<void> }> {
  await put(email);
  const client = await world.db1.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM subscriptions WHERE email = $1 FOR UPDATE', [email]);
  const answer = put(email, signal);
  answer.catch(() => undefined);
  await eventually(async () => (await lockWaits(world.db1, world.name)).length === 1);
  const release = async (): Promise<void> => {
    await client.query('COMMIT');
    client.release();
  };
  return { answer, release };
}

function listens(): Promise<boolean> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

test('after SIGTERM readiness fails, requests are still served, then the listener closes, running requests finish, and the exit code is 0', async () => {
  server = await ServerProcess.start({ ...world.environment(), SHUTDOWN_DELAY_MS: '1500' });
  const slow = await startSlowWrite('slow@example.com');
  const signalledAt = Date.now();
  server.send('SIGTERM');
  const report = await eventually(async () => {
    const now = await readinessOf(server.url);
    return now.code === 503 ? now : undefined;
  });
  expect(report.status).toBe('stopping');
  const last = await put('last@example.com');
  expect([last.status, last.headers.get('connection')]).toEqual([201, 'close']);
  expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
  await eventually(async () => !(await listens()));
  expect(Date.now() - signalledAt).toBeGreaterThan(1_400);
  await slow.release();
  const answer = await slow.answer;
  expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
  expect(await server.exit()).toBe(0);
  const { rowCount } = await world.db1.query(`SELECT FROM subscriptions WHERE email = 'last@example.com'`);
  expect(rowCount).toBe(1);
});

test('idle keep-alive connections, used or not, and a client that disconnected during its request do not delay the exit', async () => {
  server = await ServerProcess.start({ ...world.environment(), ROLES: 'api' });
  const abort = new AbortController();
  const slow = await startSlowWrite('slow@example.com', abort.signal);
  const { hostname, port } = new URL(server.url);
  const sockets = [0, 1].map(() => connect(Number(port), hostname));
  const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve).resume())));
  sockets[1]!.write(`GET /health/live HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  await new Promise((resolve) => sockets[1]!.once('data', resolve));
  abort.abort();
  await expect(slow.answer).rejects.toThrow('aborted');
  const signalledAt = Date.now();
  server.send('SIGTERM');
  await slow.release();
  expect(await server.exit()).toBe(0);
  expect(Date.now() - signalledAt).toBeLessThan(5_000);
  expect(server.output).toBe('');
  await closed;
});

test('a second signal ends the process at once, and the unfinished work is printed', async () => {
  server = await ServerProcess.start({ ...world.environment(), ROLES: 'api' });
  const slow = await startSlowWrite('slow@example.com');
  server.send('SIGTERM');
  await eventually(async () => !(await listens()));
  expect(await server.signal('SIGTERM')).toBe(1);
  expect(server.output).toBe(
    'Ended at once by a second signal. Not finished: answering requests. Nothing is lost: the next process continues.\n',
  );
  await slow.release();
});

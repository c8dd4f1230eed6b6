import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { destroyWhenUnresponsive } from './response-framing.js';

const TIMEOUT_MS = 100;
const HELD_TIMEOUT_MS = 6 * TIMEOUT_MS;
const CORRELATION_ID = 7;
const HEARTBEAT = request(12);
const JOIN_GROUP = request(11);
const SYNC_GROUP = request(14);

let server: Server;
let socket: Socket;
let onResponse: (correlationId: number) => void;

afterEach(() => {
  socket.destroy();
  server.close();
});

function request(apiKey: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeInt32BE(8);
  bytes.writeInt16BE(apiKey, 4);
  bytes.writeInt32BE(CORRELATION_ID, 8);
  return bytes;
}

/** Connects to a server that answers each chunk by calling `answer`. */
async function connected(answer: (client: Socket, chunk: Buffer) => void): Promise<Socket> {
  server = createServer((client) => client.on('error', () => undefined).on('data', (chunk: Buffer) => answer(client, chunk)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  onResponse = destroyWhenUnresponsive(socket, { timeoutMs: TIMEOUT_MS, heldTimeoutMs: HELD_TIMEOUT_MS });
  await once(socket, 'connect');
  return socket;
}

/** Sends `times` requests at intervals below the timeout. @returns whether the connection is still open. */
async function staysOpenDuring(times: number): Promise<boolean> {
  for (let i = 0; i < times && !socket.destroyed; i += 1) {
    socket.write(HEARTBEAT);
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS / 2));
  }
  return !socket.destroyed;
}

test('a connection is closed, with the reason, when nothing comes back', async () => {
  await connected(() => undefined);
  socket.write(HEARTBEAT);
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toBe(`no answer within ${TIMEOUT_MS} ms`);
});

test('requests that are sent again and again do not count as an answer', async () => {
  await connected(() => undefined);
  socket.on('error', () => undefined);
  expect(await staysOpenDuring(10)).toBe(false);
});

test('a connection stays open while answers come, and while nothing is requested', async () => {
  await connected((client, chunk) => client.write(chunk));
  expect(await staysOpenDuring(5)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS * 3));
  expect(socket.destroyed).toBe(false);
});

test('a connection is closed when answers stop coming', async () => {
  let answers = 3;
  await connected((client, chunk) => {
    answers -= 1;
    if (answers > 0) client.write(chunk);
  });
  socket.on('error', () => undefined);
  expect(await staysOpenDuring(12)).toBe(false);
});

test.each([
  ['JoinGroup', JOIN_GROUP],
  ['SyncGroup', SYNC_GROUP],
])('%s may take as long as the other members need', async (_name, held) => {
  await connected(() => undefined);
  socket.write(held);
  // The broker answers it first.
  socket.write(HEARTBEAT);
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toBe(`no answer within ${HELD_TIMEOUT_MS} ms`);
});

test('once such a request is answered, the next one has no more time than others', async () => {
  await connected(() => undefined);
  socket.write(JOIN_GROUP);
  onResponse(CORRELATION_ID + 1);
  onResponse(CORRELATION_ID);
  socket.write(HEARTBEAT);
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toBe(`no answer within ${TIMEOUT_MS} ms`);
});

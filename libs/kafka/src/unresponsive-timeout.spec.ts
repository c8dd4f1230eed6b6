import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { destroyWhenUnresponsive } from './response-framing.js';

const TIMEOUT_MS = 100;

let server: Server;
let socket: Socket;

afterEach(() => {
  socket.destroy();
  server.close();
});

/** Connects to a server that answers each chunk by calling `answer`. */
async function connected(answer: (client: Socket, chunk: Buffer) => void): Promise<Socket> {
  server = createServer((client) => client.on('error', () => undefined).on('data', (chunk: Buffer) => answer(client, chunk)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  socket = destroyWhenUnresponsive(connect((server.address() as AddressInfo).port, '127.0.0.1'), TIMEOUT_MS);
  await once(socket, 'connect');
  return socket;
}

/** Sends `times` requests at intervals below the timeout. @returns whether the connection is still open. */
async function staysOpenDuring(times: number): Promise<boolean> {
  for (let i = 0; i < times && !socket.destroyed; i += 1) {
    socket.write('?');
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS / 2));
  }
  return !socket.destroyed;
}

test('a connection is closed, with the reason, when nothing comes back', async () => {
  await connected(() => undefined);
  socket.write('?');
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

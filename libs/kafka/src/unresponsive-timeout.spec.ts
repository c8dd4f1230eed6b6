import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { destroyWhenUnresponsive } from './response-framing.js';

const WITHIN_MS = 100;

let server: Server;
let socket: Socket;

afterEach(() => {
  socket.destroy();
  server.close();
});

/** A connection to a server that does so with what it gets. */
async function connected(answer: (client: Socket, chunk: Buffer) => void): Promise<Socket> {
  server = createServer((client) => client.on('error', () => undefined).on('data', (chunk: Buffer) => answer(client, chunk)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  socket = destroyWhenUnresponsive(connect((server.address() as AddressInfo).port, '127.0.0.1'), WITHIN_MS, 10);
  await once(socket, 'connect');
  return socket;
}

/** Asks `times` times, less than the limit apart. @returns whether the connection is still there. */
async function asking(times: number): Promise<boolean> {
  for (let i = 0; i < times && !socket.destroyed; i += 1) {
    socket.write('?');
    await new Promise((resolve) => setTimeout(resolve, WITHIN_MS / 2));
  }
  return !socket.destroyed;
}

test('ended when nothing comes back, with why', async () => {
  await connected(() => undefined);
  socket.write('?');
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toBe(`no answer within ${WITHIN_MS} ms`);
});

test('asking again and again is no answer', async () => {
  await connected(() => undefined);
  socket.on('error', () => undefined);
  expect(await asking(10)).toBe(false);
});

test('left alone while answers come, and while nothing is asked', async () => {
  await connected((client, chunk) => client.write(chunk));
  expect(await asking(5)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, WITHIN_MS * 3));
  expect(socket.destroyed).toBe(false);
});

test('ended when answers stop coming', async () => {
  let answers = 3;
  await connected((client, chunk) => {
    answers -= 1;
    if (answers > 0) client.write(chunk);
  });
  socket.on('error', () => undefined);
  expect(await asking(12)).toBe(false);
});

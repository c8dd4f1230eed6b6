import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { GracefulShutdown } from '#observability';
import { CredentialEndedError } from './credential.js';
import { type StreamingReply, StreamingResponses } from './streaming-response.js';

let streaming: StreamingResponses;
let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
/** Ends the credential of the responses that are open, by the name of their caller. */
let ends: Map<string, (reason: Error) => void>;

beforeEach(async () => {
  streaming = new StreamingResponses(new GracefulShutdown());
  ends = new Map();
  answer = (_request, response) => send(response, 'someone');
  server = createServer((request, response) => answer(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Sends the response as Fastify would. An error that is thrown is its answer. */
function send(raw: ServerResponse, actor: string, pieces = forever): void {
  const watch = (onEnd: (reason: Error) => void): (() => void) => {
    ends.set(actor, onEnd);
    return () => ends.delete(actor);
  };
  const reply: StreamingReply = {
    raw,
    request: { caller: { actor, scopes: new Set(), watch } },
    code: () => reply,
    header: () => reply,
    send: (body) => (body as NodeJS.ReadableStream).on('error', () => raw.destroy()).pipe(raw),
  };
  try {
    streaming.send(reply, { kind: 'streams', maxOpen: 4, maxPerCaller: 2, headers: {}, pieces });
  } catch (error) {
    raw.writeHead((error as { getStatus: () => number }).getStatus()).end();
  }
}

async function* forever(signal: AbortSignal): AsyncGenerator<string, void, void> {
  yield 'begin\n';
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
}

async function* endless(): AsyncGenerator<string, void, void> {
  for (;;) yield 'x'.repeat(1_000_000);
}

test('one caller cannot take all responses of a kind', async () => {
  answer = ({ url: path }, response) => send(response, path!);
  const open = async (path: string): Promise<number> => (await fetch(url() + path)).status;
  expect([await open('/a'), await open('/a'), await open('/a')]).toEqual([200, 200, 429]);
  expect([await open('/b'), await open('/c'), await open('/d')]).toEqual([200, 200, 503]);
});

test('a client that left before its response began takes no place', async () => {
  const left: Promise<void>[] = [];
  answer = (_request, response) => {
    left.push(once(response, 'close').then(() => send(response, 'someone')));
  };
  for (let i = 0; i < 6; i += 1) {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const arrived = once(server, 'request');
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await arrived;
    socket.destroy();
    await left[i];
  }
  expect(ends.size).toBe(0);
  answer = (_request, response) => send(response, 'someone');
  expect((await fetch(url())).status).toBe(200);
});

test('a response ends with its credential, and then takes no place', async () => {
  for (let i = 0; i < 5; i += 1) {
    const response = await fetch(url());
    expect(response.status).toBe(200);
    ends.get('someone')!(new CredentialEndedError('unauthorized', 'The API key is revoked'));
    expect(await response.text()).toBe('begin\n');
  }
});

test('a response whose client does not read is cut off when its credential ends', async () => {
  answer = (_request, response) => send(response, 'someone', endless);
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const arrived = once(server, 'request');
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [, response] = (await arrived) as [IncomingMessage, ServerResponse];
  const closed = once(response, 'close').then(() => 'closed');
  ends.get('someone')!(new CredentialEndedError('unauthorized', 'The API key is revoked'));
  expect(await Promise.race([closed, delay(4_000, 'open', { ref: false })])).toBe('closed');
  expect(response.writableFinished).toBe(false);
  socket.destroy();
});

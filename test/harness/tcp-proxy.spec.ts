import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from './eventually.js';
import { TcpProxy } from './tcp-proxy.js';

/** An echo server that records what it receives. */
let server: Server;
let served: Peer[];
let proxy: TcpProxy;
let clients: Peer[];

/** One end of a connection: what it received, and how it ended. */
class Peer {
  text = '';
  ended = false;
  closed = false;
  error: string | undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
    socket.on('end', () => (this.ended = true));
    socket.on('close', () => (this.closed = true));
    socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code));
  }
}

beforeEach(async () => {
  served = [];
  clients = [];
  server = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(new Peer(socket));
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  proxy = await TcpProxy.to({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
});
afterEach(async () => {
  for (const { socket } of [...clients, ...served]) socket.destroy();
  await proxy.close();
  server.close();
});

function client(allowHalfOpen = false): Peer {
  const peer = new Peer(connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen }));
  clients.push(peer);
  return peer;
}

/** Opens a connection over which data has passed in both directions. */
async function established(allowHalfOpen = false): Promise<Peer> {
  const peer = client(allowHalfOpen);
  peer.socket.write('hello ');
  await eventually(() => peer.text === 'hello ');
  return peer;
}

/** Returns whether a new connection works. */
async function saysBack(): Promise<boolean> {
  const peer = client();
  peer.socket.write('again');
  await eventually(() => peer.text === 'again' || peer.closed);
  return peer.text === 'again';
}

test('pass: data and ends are forwarded in both directions', async () => {
  const peer = client();
  const much = 'x'.repeat(3_000_000);
  peer.socket.end(much);
  await eventually(() => peer.closed);
  expect(peer.text.length).toBe(much.length);
  expect(served[0]).toMatchObject({ ended: true, closed: true });
});

test('refuse: existing connections end and new ones are refused; the reopened proxy has the same port', async () => {
  const peer = await established();
  const { port } = proxy;
  await proxy.set({ kind: 'refuse' });
  await eventually(() => peer.closed && served[0]!.closed);
  const refused = client();
  await eventually(() => refused.closed);
  expect(refused.error).toBe('ECONNREFUSED');
  await proxy.set({ kind: 'pass' });
  expect(proxy.port).toBe(port);
  expect(await saysBack()).toBe(true);
});

test('black-hole: neither data nor ends are forwarded; afterwards connections that lost bytes are reset, and others continue', async () => {
  const [talking, silent] = [await established(), await established()];
  await proxy.set({ kind: 'black-hole' });
  const late = client();
  await once(late.socket, 'connect');
  for (const peer of [talking, late]) peer.socket.write('lost');
  expect(await delivered()).toBe('hello ');
  expect([talking, late].map(({ text, closed }) => [text, closed])).toEqual([
    ['hello ', false],
    ['', false],
  ]);
  expect(served[0]!.closed).toBe(false);
  await proxy.set({ kind: 'pass' });
  await eventually(() => talking.closed && late.closed && served[0]!.closed);
  expect(talking.error).toBe('ECONNRESET');
  silent.socket.write('there');
  await eventually(() => silent.text === 'hello there');
});

test('black-hole that forgets: the server of a lost connection is notified, its client never is', async () => {
  const peer = await established();
  await proxy.set({ kind: 'black-hole', forgets: true });
  peer.socket.write('lost');
  await eventually(() => peer.socket.bytesWritten === 10);
  expect(await delivered()).toBe('hello ');
  await proxy.set({ kind: 'pass' });
  await eventually(() => served[0]!.closed);
  peer.socket.write('lost, too');
  expect(await saysBack()).toBe(true);
  expect(peer).toMatchObject({ text: 'hello ', closed: false });
});

/** Returns what the server received over the first connection, once a later byte of another connection would have arrived. */
async function delivered(): Promise<string> {
  const other = client();
  await once(other.socket, 'connect');
  return served[0]!.text;
}

test('reset: old and new connections get an RST', async () => {
  const peer = await established();
  await proxy.set({ kind: 'reset' });
  await eventually(() => peer.closed && served[0]!.closed);
  expect([peer.error, served[0]!.error]).toEqual(['ECONNRESET', 'ECONNRESET']);
  const late = client();
  await eventually(() => late.closed);
  expect(late.error).toBe('ECONNRESET');
  await proxy.set({ kind: 'pass' });
  expect(await saysBack()).toBe(true);
});

test('latency: data arrives later but in order, also when the latency ends in the middle', async () => {
  const peer = await established();
  await proxy.set({ kind: 'latency', ms: 150 });
  const started = performance.now();
  peer.socket.write('slow ');
  await eventually(() => peer.text.endsWith('slow '));
  expect(performance.now() - started).toBeGreaterThanOrEqual(299);
  peer.socket.write('a');
  await proxy.set({ kind: 'latency', ms: 40 });
  peer.socket.write('b');
  await proxy.set({ kind: 'pass' });
  peer.socket.write('c');
  await eventually(() => peer.text.length === 'hello slow abc'.length);
  expect(peer.text).toBe('hello slow abc');
});

test.each(['server', 'client'] as const)('half-close towards the %s: that direction ends, and the other continues', async (towards) => {
  const peer = await established(true);
  const [near, far] = towards === 'server' ? [peer, served[0]!] : [served[0]!, peer];
  far.socket.removeAllListeners('end').on('end', () => (far.ended = true));
  await proxy.set({ kind: 'half-close', towards });
  await eventually(() => far.ended);
  const before = far.text;
  near.socket.write('swallowed');
  far.socket.write('still here');
  await eventually(() => near.text.endsWith('still here'));
  expect(far.text).toBe(before);
});

test('cut: a connection ends after the given number of bytes', async () => {
  const peer = await established();
  await proxy.set({ kind: 'cut', afterBytes: 4 });
  peer.socket.write('0123456789');
  await eventually(() => peer.closed && served[0]!.closed);
  expect(served[0]!.text).toBe('hello 0123');
  expect(peer.text).toBe('hello ');
  const late = client();
  late.socket.write('abc');
  await eventually(() => late.closed);
  expect(late.text).toBe('a');
});

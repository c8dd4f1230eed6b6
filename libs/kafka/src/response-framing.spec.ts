import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULT_TIMINGS, type KafkaSettings } from '#config';
import { kafkaClientOptions } from './client.js';
import { frameResponses } from './response-framing.js';

const SETTINGS: KafkaSettings = {
  brokers: ['127.0.0.1:1'],
  security: { protocol: 'PLAINTEXT', tls: undefined, sasl: undefined },
  signing: undefined,
  topic: 'test',
  partitions: 1,
  replicationFactor: 1,
  minInsyncReplicas: 1,
  groupId: 'test',
  sessionTimeoutMs: 6_000,
};

const response = (payload: Uint8Array): Buffer => {
  const size = Buffer.alloc(4);
  size.writeInt32BE(payload.length);
  return Buffer.concat([size, payload]);
};

/** Returns what a listener receives when a socket delivers the chunks. `ids` gets the correlation ids. */
function received(chunks: readonly Buffer[], ids: number[] = []): Buffer[] {
  const got: Buffer[] = [];
  const socket = frameResponses(connect({ host: '127.0.0.1', port: 1 }), (id) => ids.push(id)).on('error', () => undefined);
  socket.on('data', (data) => got.push(Buffer.from(data)));
  for (const chunk of chunks) socket.emit('data', chunk);
  socket.destroy();
  return got;
}

test('a listener gets complete responses, all of them and in order, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 4, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 300, maxLength: 300 }),
      (payloads, cuts) => {
        const responses = payloads.map(response);
        const all = Buffer.concat(responses);
        const ends = responses.map((_, index) => Buffer.concat(responses.slice(0, index + 1)).length);
        const chunks: Buffer[] = [];
        for (let from = 0, cut = 0; from < all.length; from += cuts[cut]!, cut += 1) chunks.push(all.subarray(from, from + cuts[cut]!));
        const ids: number[] = [];
        const got = received(chunks, ids);
        expect(ids).toEqual(payloads.map((payload) => Buffer.from(payload).readInt32BE()));
        expect(Buffer.concat(got).equals(all)).toBe(true);
        let length = 0;
        for (const data of got) expect(ends).toContain((length += data.length));
      },
    ),
  );
});

test('a response that was cut off is not delivered', () => {
  const whole = response(Buffer.from('whole'));
  expect(received([Buffer.concat([whole, response(Buffer.from('cut off')).subarray(0, 7)])])).toEqual([whole]);
});

const HUGE = Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

test.each([
  ['too small', Buffer.alloc(8)],
  ['too large', HUGE],
])('every client closes a connection with a response that is %s, and the process keeps running', async (_, sent) => {
  const server = createServer((socket: Socket) => void socket.write(sent));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const { socketFactory } = kafkaClientOptions(SETTINGS, 'test', DEFAULT_TIMINGS.kafka);
  const socket = socketFactory!({ host: '127.0.0.1', port, ssl: {}, onConnect: () => undefined });
  const got: Buffer[] = [];
  socket.on('data', (data) => got.push(data));
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toContain('is not a Kafka response');
  expect(got).toEqual([]);
  server.close();
});

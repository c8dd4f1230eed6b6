import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { kafkaClientOptions } from './client.js';
import { frameResponses } from './response-framing.js';

const SETTINGS = {
  brokers: ['127.0.0.1:1'],
  topic: 'test',
  partitions: 1,
  replicationFactor: 1,
  minInsyncReplicas: 1,
  groupId: 'test',
  sessionTimeoutMs: 6_000,
};

const answer = (payload: Uint8Array): Buffer => {
  const size = Buffer.alloc(4);
  size.writeInt32BE(payload.length);
  return Buffer.concat([size, payload]);
};

/** What a listener gets of the chunks, as a socket would bring them. */
function heard(chunks: readonly Buffer[]): Buffer[] {
  const got: Buffer[] = [];
  const socket = frameResponses(connect({ host: '127.0.0.1', port: 1 })).on('error', () => undefined);
  socket.on('data', (data) => got.push(Buffer.from(data)));
  for (const chunk of chunks) socket.emit('data', chunk);
  socket.destroy();
  return got;
}

test('however the bytes come, a listener gets whole answers, all of them and in order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 4, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 300, maxLength: 300 }),
      (payloads, cuts) => {
        const answers = payloads.map(answer);
        const all = Buffer.concat(answers);
        const ends = answers.map((_, index) => Buffer.concat(answers.slice(0, index + 1)).length);
        const chunks: Buffer[] = [];
        for (let from = 0, cut = 0; from < all.length; from += cuts[cut]!, cut += 1) chunks.push(all.subarray(from, from + cuts[cut]!));
        const got = heard(chunks);
        expect(Buffer.concat(got).equals(all)).toBe(true);
        let length = 0;
        for (const data of got) expect(ends).toContain((length += data.length));
      },
    ),
  );
});

test('an answer that was cut off is not heard', () => {
  const whole = answer(Buffer.from('whole'));
  expect(heard([Buffer.concat([whole, answer(Buffer.from('cut off')).subarray(0, 7)])])).toEqual([whole]);
});

test('every client has it: what can be no answer of Kafka ends the connection, and not the process', async () => {
  const server = createServer((socket: Socket) => void socket.write(Buffer.alloc(8)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const { socketFactory } = kafkaClientOptions(SETTINGS, 'test');
  const socket = socketFactory!({ host: '127.0.0.1', port, ssl: {}, onConnect: () => undefined });
  const got: Buffer[] = [];
  socket.on('data', (data) => got.push(data));
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toContain('none of Kafka');
  expect(got).toEqual([]);
  server.close();
});

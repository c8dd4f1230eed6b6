import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Message } from 'kafkajs';
import './produce-request.js';

interface Encoded {
  readonly buf: Buffer;
  readonly offset: number;
}
type Encoding = (args: object) => { encode: () => Promise<Encoded> };

const require = createRequire(import.meta.url);
const produce = require('kafkajs/src/protocol/requests/produce') as {
  protocol: (api: { version: number }) => (args: object) => { request: ReturnType<Encoding> };
};
const encodeByKafkajs = require('kafkajs/src/protocol/requests/produce/v7/request') as Encoding;

/** -1 is what a producer gives that is not idempotent. */
const encode: Encoding = (args) => produce.protocol({ version: 7 })({ ...args, producerId: -1 }).request;
const bytesOf = async (encoding: Encoding, args: object): Promise<string> => {
  const { buf, offset } = await encoding(args).encode();
  return buf.subarray(0, offset).toString('hex');
};

const TEXT = fc.string({ unit: 'binary', maxLength: 200 });
const CONTENT = fc.oneof(
  TEXT,
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(null),
);
const MESSAGE: fc.Arbitrary<Message> = fc.record({
  key: CONTENT,
  value: CONTENT,
  headers: fc.dictionary(
    TEXT,
    CONTENT.filter((content) => content !== null),
    { maxKeys: 3 },
  ),
  timestamp: fc.integer({ min: 1_700_000_000_000, max: 1_800_000_000_000 }).map(String),
});
const ARGUMENTS = fc.record({
  acks: fc.constantFrom(-1, 1),
  timeout: fc.nat(60_000),
  topicData: fc.array(
    fc.record({
      topic: TEXT,
      partitions: fc.array(fc.record({ partition: fc.nat(1_000), messages: fc.array(MESSAGE, { minLength: 1, maxLength: 70 }) }), {
        maxLength: 3,
      }),
    }),
    { minLength: 1, maxLength: 2 },
  ),
});

test('a request has the bytes that the encoder of kafkajs produces', async () => {
  await fc.assert(
    fc.asyncProperty(ARGUMENTS, async (args) => {
      expect(await bytesOf(encode, args)).toBe(await bytesOf(encodeByKafkajs, args));
    }),
    { numRuns: 300 },
  );
});

test.each([64, 8_192, 1_048_576])('values of %d bytes and their neighbours are encoded alike', async (length) => {
  const messages = [-2, -1, 0, 1].map((more) => ({ key: 'k', value: 'v'.repeat(length + more), timestamp: '1800000000000' }));
  const args = { acks: -1, timeout: 30_000, topicData: [{ topic: 't', partitions: [{ partition: 0, messages }] }] };
  expect(await bytesOf(encode, args)).toBe(await bytesOf(encodeByKafkajs, args));
});

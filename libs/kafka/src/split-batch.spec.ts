import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KafkaMessage } from 'kafkajs';
import { isolateRefused, splitBatch } from './split-batch.js';

function message(size: number | null, offset: number): KafkaMessage {
  const value = size === null ? null : Buffer.alloc(size);
  return { key: null, value, offset: String(offset), timestamp: '0', attributes: 0, headers: {} };
}

const bytesOf = (part: readonly KafkaMessage[]): number => part.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);

test('parts keep the order and the limits, a record beyond the limit is alone, and no two neighbours would fit together', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat(30)), { maxLength: 40 }),
      fc.record({ records: fc.integer({ min: 1, max: 7 }), bytes: fc.integer({ min: 1, max: 40 }) }),
      (sizes, limits) => {
        const messages = sizes.map(message);
        const parts = [...splitBatch(messages, limits)];
        expect(parts.flat()).toEqual(messages);
        for (const [at, part] of parts.entries()) {
          expect(part.length).toBeLessThanOrEqual(limits.records);
          expect(part.length === 1 || bytesOf(part) <= limits.bytes).toBe(true);
          const [next] = parts[at + 1] ?? [];
          if (next) expect(part.length === limits.records || bytesOf([...part, next]) > limits.bytes).toBe(true);
        }
      },
    ),
  );
});

test('of a batch that is refused, the bad items alone are returned, and all others are taken once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (flags) => {
      const items = flags.map((isBad, at) => ({ at, isBad }));
      const taken: typeof items = [];
      const refused = await isolateRefused(items, (part) => {
        if (part.some(({ isBad }) => isBad)) return Promise.resolve('bad');
        taken.push(...part);
        return Promise.resolve(undefined);
      });
      expect(taken).toEqual(items.filter(({ isBad }) => !isBad));
      expect(refused).toEqual(items.filter(({ isBad }) => isBad).map((item) => ({ item, reason: 'bad' })));
    }),
  );
});

test('an error that is not about the items ends the search', async () => {
  await expect(isolateRefused([1, 2], () => Promise.reject(new Error('the connection is gone')))).rejects.toThrow('the connection is gone');
});

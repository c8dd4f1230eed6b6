import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KafkaMessage } from 'kafkajs';
import { splitBatch } from './split-batch.js';

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

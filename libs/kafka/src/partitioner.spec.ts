import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Partitioners, type PartitionMetadata } from 'kafkajs';
import { partitionByKey } from './client.js';

const ours = partitionByKey();
const theirs = Partitioners.DefaultPartitioner();

function partitionsOf(count: number): PartitionMetadata[] {
  return Array.from({ length: count }, (_, partitionId) => ({ partitionErrorCode: 0, partitionId, leader: 1, replicas: [1], isr: [1] }));
}

test("every key goes to the partition that kafkajs's Java-compatible partitioner chooses", () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.integer({ min: 1, max: 1_000 }), (key, count) => {
      const args = { topic: 'any', partitionMetadata: partitionsOf(count), message: { key, value: null } };
      expect(ours(args)).toBe(theirs(args));
    }),
    { numRuns: 2_000 },
  );
});

test("the hash equals that of Kafka's Java client for its own test vectors", () => {
  // org.apache.kafka.common.utils.UtilsTest.testMurmur2, made positive.
  const hashes = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536, abc: 479470107 };
  for (const [key, hash] of Object.entries(hashes)) {
    const partitionMetadata = partitionsOf(997);
    expect(ours({ topic: 'any', partitionMetadata, message: { key, value: null } })).toBe((hash & 0x7fffffff) % 997);
  }
});

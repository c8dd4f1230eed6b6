import type { ICustomPartitioner } from 'kafkajs';

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/**
 * The partition of a key, as Kafka's own clients choose it (murmur2 of the key, without the sign, modulo the count), so that a
 * record of any client's producer with the same key lands in the same partition. kafkajs's default does the same with 64-bit
 * objects, which took 2 µs a record: a twentieth of the whole pipeline's time.
 */
export const partitionByKey: ICustomPartitioner =
  () =>
  ({ message, partitionMetadata }) => {
    if (message.key === null || message.key === undefined)
      throw new TypeError('A record without a key has no place in the order of its email');
    return (murmur2(Buffer.from(message.key)) & 0x7fffffff) % partitionMetadata.length;
  };

function murmur2(data: Buffer): number {
  const { length } = data;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(data.readInt32LE(at), MULTIPLIER);
    word = Math.imul(word ^ (word >>> 24), MULTIPLIER);
    hash = Math.imul(hash, MULTIPLIER) ^ word;
  }
  if (at < length) {
    for (let shift = 0; at < length; at += 1, shift += 8) hash ^= data[at]! << shift;
    hash = Math.imul(hash, MULTIPLIER);
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
  return hash ^ (hash >>> 15);
}

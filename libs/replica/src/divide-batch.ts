import type { KafkaMessage } from 'kafkajs';

/** What is applied in one transaction at most. */
export interface BatchLimits {
  readonly records: number;
  /** Of the records' values. One record may exceed it; it is then a batch of its own. */
  readonly bytes: number;
}

/**
 * A fetched batch in parts within the limits, in its order. A fetch is limited in bytes, too, but as they are on the wire: a batch
 * that somebody else's producer compressed may be a hundred times as large when it is read.
 */
export function* divideBatch(messages: readonly KafkaMessage[], limits: BatchLimits): Generator<readonly KafkaMessage[], void, void> {
  let from = 0;
  let bytes = 0;
  for (const [at, { value }] of messages.entries()) {
    const size = value?.length ?? 0;
    if (at > from && (at - from === limits.records || bytes + size > limits.bytes)) {
      yield messages.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < messages.length) yield messages.slice(from);
}

import type { KafkaMessage } from 'kafkajs';

/** Maximum size of a batch that is applied in one transaction. */
export interface BatchLimits {
  readonly records: number;
  /** Maximum size (bytes) of the records' values. A single record may exceed it; it is then a batch of its own. */
  readonly bytes: number;
}

/**
 * Splits a fetched batch into parts within the limits, in order. A fetch is limited in bytes too, but as they are on the wire: a batch
 * that another program's producer compressed may be a hundred times as large once it is decompressed.
 */
export function* splitBatch(messages: readonly KafkaMessage[], limits: BatchLimits): Generator<readonly KafkaMessage[], void, void> {
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

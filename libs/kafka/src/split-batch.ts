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

/** An item that was refused by itself, and why. */
export interface Refused<T, Reason> {
  readonly item: T;
  readonly reason: Reason;
}

/**
 * Finds the items that make a batch fail: tries the whole batch and, where it is refused, each half of it, in order, until the refused
 * items are alone. All others are taken. `attempt` handles a part as a whole or not at all, and resolves with the reason when the part
 * is refused. An error that says nothing about the items is thrown by `attempt`, and ends the search.
 */
export async function isolateRefused<T, Reason>(
  items: readonly T[],
  attempt: (part: readonly T[]) => Promise<Reason | undefined>,
): Promise<Refused<T, Reason>[]> {
  const reason = await attempt(items);
  if (reason === undefined) return [];
  if (items.length < 2) return items.map((item) => ({ item, reason }));
  const middle = items.length >> 1;
  const first = await isolateRefused(items.slice(0, middle), attempt);
  return [...first, ...(await isolateRefused(items.slice(middle), attempt))];
}

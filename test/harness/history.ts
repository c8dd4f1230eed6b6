import fc from 'fast-check';
import type { KafkaMessage } from 'kafkajs';
import type { PartitionBatch } from '#kafka';
import type { Operation } from '#events';

/** One change of an email's generated history. */
export interface TestChange {
  readonly email: string;
  readonly version: number;
  readonly operation: Operation;
  readonly status: string;
  /** Values that replace those of the image. */
  readonly image?: Record<string, unknown>;
}

export function changeOf(email: string, version: number): TestChange {
  return { email, version, operation: 'created', status: 'active' };
}

export function lastOf(history: readonly TestChange[]): TestChange {
  return history.reduce((last, change) => (change.version > last.version ? change : last));
}

/** Returns a change as a record of the topic. */
export function recordOf(change: TestChange, offset: number): KafkaMessage {
  const { email, version, operation, status } = change;
  const time = new Date(Date.UTC(2026, 0, 1) + version).toISOString();
  const image = {
    email,
    status,
    plan: null,
    access_until: null,
    cancel_at_period_end: false,
    metadata: {},
    created_at: time,
    updated_at: time,
    ...change.image,
  };
  const event = {
    specversion: '1.0',
    id: String(version),
    source: '/test',
    type: `subscription.${operation}`,
    subject: email,
    time,
    datacontenttype: 'application/json',
    data: { subscription: image, previous: {}, actor: 'test', reason: null, origin: 'sql' },
  };
  return {
    key: Buffer.from(email),
    value: Buffer.from(JSON.stringify(event)),
    offset: String(offset),
    timestamp: '0',
    attributes: 0,
    headers: {},
  };
}

let offset = 0;

/** Returns a change as the record of the next offset. */
export function nextRecord(change: TestChange): KafkaMessage {
  offset += 1;
  return recordOf(change, offset);
}

/** Returns a batch of the topic `topic`. */
export function batchOf(messages: PartitionBatch['messages'], partition = 0): PartitionBatch {
  return { topic: 'topic', partition, messages };
}

/** Generates the history of an email: created, changed, deleted, created again, … with growing versions that may have gaps. */
const history = (email: string): fc.Arbitrary<TestChange[]> =>
  fc
    .array(fc.record({ dies: fc.boolean(), gap: fc.integer({ min: 1, max: 3 }), status: fc.constantFrom('a', 'b', 'c') }), {
      minLength: 1,
      maxLength: 7,
    })
    .map((steps) => {
      let version = 0;
      let alive = false;
      return steps.map(({ dies, gap, status }) => {
        version += gap;
        const operation: Operation = !alive ? 'created' : dies ? 'deleted' : 'updated';
        alive = operation !== 'deleted';
        return { email, version, operation, status };
      });
    });

/** Generates histories, and all their changes in any order, some of them twice, cut into batches anywhere. */
export const historyArbitrary = fc.tuple(history('a'), history('b'), history('c')).chain((histories) => {
  const all = histories.flat();
  return fc
    .record({
      order: fc.shuffledSubarray(all, { minLength: all.length }),
      again: fc.array(fc.constantFrom(...all), { maxLength: 8 }),
      cuts: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: all.length + 8, maxLength: all.length + 8 }),
    })
    .map(({ order, again, cuts }) => {
      const records = [...order, ...again];
      const batches: TestChange[][] = [];
      for (let from = 0, cut = 0; from < records.length; cut += 1) {
        batches.push(records.slice(from, from + cuts[cut]!));
        from += cuts[cut]!;
      }
      return { histories, batches };
    });
});

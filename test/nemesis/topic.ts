import { Partitioners } from 'kafkajs';
import { eventually } from '../harness/eventually.js';
import type { Scene } from './scene.js';

/** A record of the topic. */
export interface TopicRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** A record to publish; the producer's partitioner chooses its partition if it names none. */
export type NewRecord = Pick<TopicRecord, 'key' | 'value'> & { readonly partition?: number };

const SEND_AT_ONCE = 500;

/** Returns the end offset of each partition: the offset that its next record gets. */
export async function endsOf(scene: Scene): Promise<Map<number, number>> {
  const offsets = await scene.withAdmin((admin) => admin.fetchTopicOffsets(scene.world.topic));
  return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]));
}

let readers = 0;

/** Reads all records, from the first to the one that is the last at the time of the call. */
export async function readTopic(scene: Scene, withinMs = 30_000): Promise<TopicRecord[]> {
  const ends = await endsOf(scene);
  const missing = new Map([...ends].filter(([, end]) => end > 0));
  const records: TopicRecord[] = [];
  if (missing.size === 0) return records;
  readers += 1;
  const consumer = scene.world.kafka.consumer({
    groupId: `${scene.world.name}-reader-${process.pid}-${readers}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 100,
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [scene.world.topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { partition, messages } }) => {
        for (const { offset, key, value } of messages) records.push({ partition, offset: Number(offset), key, value });
        if (Number(messages.at(-1)?.offset ?? -1) >= (missing.get(partition) ?? 0) - 1) missing.delete(partition);
        return Promise.resolve();
      },
    });
    await eventually(() => missing.size === 0, withinMs);
  } finally {
    await consumer.disconnect();
  }
  return records.filter(({ partition, offset }) => offset < ends.get(partition)!);
}

/** Publishes records in this order, as another program would. */
export async function putRecords(scene: Scene, records: readonly NewRecord[]): Promise<void> {
  const producer = scene.world.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    for (let from = 0; from < records.length; from += SEND_AT_ONCE) {
      await producer.send({
        topic: scene.world.topic,
        messages: records.slice(from, from + SEND_AT_ONCE).map((record) => ({ ...record })),
      });
    }
  } finally {
    await producer.disconnect();
  }
}

import type { KafkaSettings } from '#config';
import { Logger } from '@nestjs/common';
import { Kafka, type Admin } from 'kafkajs';
import { kafkaClientOptions } from './client-options.js';

/**
 * - no compaction: a deletion is an event like any other, and history is worth keeping;
 * - no compression by the broker: kafkajs can't read zstd, snappy or lz4, so a producer of somebody else's can't kill the consumer;
 * - 10 MB: a row written by SQL may carry more metadata than the API allows.
 */
const TOPIC_CONFIG = [
  { name: 'cleanup.policy', value: 'delete' },
  { name: 'compression.type', value: 'uncompressed' },
  { name: 'max.message.bytes', value: String(10 * 1024 * 1024) },
];

/**
 * Makes the topic when it is missing, and says so when it has another partition count than asked for. Safe to call from many
 * processes at once.
 * @throws what kafkajs throws when no broker answers.
 */
export async function ensureTopic(settings: KafkaSettings): Promise<void> {
  await withAdmin(settings, async (admin) => {
    const topics = await admin.listTopics();
    if (!topics.includes(settings.topic)) {
      await admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic: settings.topic,
            numPartitions: settings.partitions,
            replicationFactor: settings.replicationFactor,
            configEntries: TOPIC_CONFIG,
          },
        ],
      });
    }
    const { topics: metadata } = await admin.fetchTopicMetadata({ topics: [settings.topic] });
    const partitions = metadata[0]?.partitions.length;
    if (partitions !== settings.partitions) {
      new Logger('kafka').warn(
        `Topic ${settings.topic} has ${partitions} partitions, KAFKA_PARTITIONS says ${settings.partitions}. It is used as it is; ` +
          'set KAFKA_PARTITIONS to match. Events of one email stay in order only while the count does not change.',
      );
    }
  });
}

/** The end of each partition: the offset that the next message gets. */
export async function fetchEndOffsets(settings: KafkaSettings): Promise<Map<number, bigint>> {
  return withAdmin(settings, async (admin) => {
    const offsets = await admin.fetchTopicOffsets(settings.topic);
    return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
  });
}

async function withAdmin<T>(settings: KafkaSettings, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka(kafkaClientOptions(settings, 'subscription-sync-admin')).admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

import type { KafkaSettings, KafkaTimings } from '#config';
import { fetchTopicOffsets, fetchTopicRetention, type TopicRetention } from '#kafka';
import type { KafkaRemainder } from './erasure.dto.js';

/** Returns what the topic holds now: any record below the end offsets may have an email that was erased before. */
export async function observeTopic(kafka: KafkaSettings, timings: KafkaTimings, now: Date): Promise<KafkaRemainder> {
  const offsets = await fetchTopicOffsets(kafka, timings);
  const retention = await fetchTopicRetention(kafka, timings);
  const expires = retention !== undefined && !retention.compacted && retention.retentionMs !== null;
  return {
    topic: kafka.topic,
    records_below: Object.fromEntries([...offsets].map(([partition, { end }]) => [partition, end])),
    until: expires ? new Date(now.getTime() + retention.retentionMs).toISOString() : null,
    detail: describe(retention),
  };
}

const BY_HAND =
  'The email and its last version are kept until the records below these offsets are gone: delete them with kafka-delete-records, or change the topic';

function describe(retention: TopicRetention | undefined): string {
  if (retention === undefined)
    return `Kafka does not tell how long it keeps the records (DescribeConfigs is denied). ${BY_HAND} if they never expire`;
  if (retention.compacted) return `The topic is compacted, so records without a successor are kept for ever. ${BY_HAND}`;
  if (retention.retentionMs === null) return `The topic keeps records without a limit (retention.ms=-1). ${BY_HAND}`;
  return `Kafka deletes the records some time after retention.ms=${retention.retentionMs} has passed`;
}

/** The first offsets that topics still have. Each topic is asked once. */
export class TopicBeginnings {
  private readonly topics = new Map<string, ReturnType<typeof fetchTopicOffsets>>();

  constructor(
    private readonly kafka: KafkaSettings,
    private readonly timings: KafkaTimings,
  ) {}

  /** Whether the topic has no record any more of those that `remainder` describes. A topic that was created again has none of them. */
  async areBeyond({ topic, records_below: recordsBelow }: KafkaRemainder): Promise<boolean> {
    const offsets = this.topics.get(topic) ?? fetchTopicOffsets({ ...this.kafka, topic }, this.timings);
    this.topics.set(topic, offsets);
    const present = await offsets;
    return Object.entries(recordsBelow).every(([partition, below]) => {
      const range = present.get(Number(partition));
      return range === undefined || range.first >= below || range.end < below;
    });
  }
}

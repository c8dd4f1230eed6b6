import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Settings } from '#config';
import { fetchTopicOffsets, partitionByKey } from '#kafka';

/** After Kafka did not answer it is not asked again for so long, ms: it is only asked for details. */
const LEFT_ALONE_MS = 5_000;

export type TopicOffsets = ReadonlyMap<number, { readonly first: number; readonly end: number }>;

/** The topic, where this process knows Kafka: beside a sync or replica role. */
@Injectable()
export class TopicEnds {
  private partitions: number | undefined;
  private leaveAloneUntil = 0;

  constructor(private readonly config: ConfigService<Settings, true>) {}

  get topic(): string | undefined {
    return this.config.get('kafka', { infer: true })?.topic;
  }

  /** Undefined where Kafka is not known, or does not answer. */
  async fetch(): Promise<TopicOffsets | undefined> {
    const kafka = this.config.get('kafka', { infer: true });
    if (!kafka || performance.now() < this.leaveAloneUntil) return undefined;
    try {
      const offsets = await fetchTopicOffsets(kafka);
      this.partitions = offsets.size || undefined;
      return offsets;
    } catch {
      this.leaveAloneUntil = performance.now() + LEFT_ALONE_MS;
      return undefined;
    }
  }

  /** The partition of an email. Undefined until the topic is known. */
  async partitionOf(email: string): Promise<number | undefined> {
    if (this.partitions === undefined) await this.fetch();
    if (this.partitions === undefined) return undefined;
    const partitionMetadata = Array.from({ length: this.partitions }, (_, partitionId) => ({
      partitionId,
      partitionErrorCode: 0,
      leader: 0,
      replicas: [],
      isr: [],
    }));
    return partitionByKey()({ topic: this.topic!, message: { key: email, value: null }, partitionMetadata });
  }
}

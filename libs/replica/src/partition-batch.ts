import type { KafkaMessage } from 'kafkajs';

/** Consecutive records of one partition, as a handler gets them. */
export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  /** In the order of their offsets, at least one. */
  readonly messages: readonly KafkaMessage[];
}

import { Partitioners } from 'kafkajs';
import type { Settings, Timings } from '#config';
import { SUBSCRIPTION_EVENTS } from '#events';
import { BatchStrategy, ensureTopic, explainKafkaError, kafkaClientOptions } from '#kafka';
import { classifyError } from './failure-policy.js';

const MB = 1024 * 1024;
/** Maximum size of a batch that is applied in one transaction. Larger batches gain nothing and hold their locks longer. */
const LIMITS = { records: 2_000, bytes: 4 * MB };
/** Maximum size of what is fetched and held at once. A broker returns at least one batch, however large: up to the topic's 10 MB. */
const FETCH = { maxBytes: 10 * MB, maxBytesPerPartition: MB };
/**
 * Maximum number of partitions that are applied at once: together, or each in a transaction of its own. With 3, changes that came one by one
 * took up to a third longer (ADR 39).
 */
const MAX_CONCURRENCY = 6;
/** Time (ms) that an answer to a join request may take beyond the rebalance timeout. */
const JOIN_GRACE_MS = 10_000;

/**
 * Creates the Kafka transport of the replica role, for `connectMicroservice({ strategy })`.
 *
 * While the group rebalances, a broker holds a member's request until all members have joined, for up to `rebalanceTimeoutMs`. A
 * connection that has gone silent looks the same meanwhile, so such a request has that long. A batch blocks kafkajs for no longer than
 * `fetchBlockMs`, so members rejoin in time.
 */
export function createReplicaStrategy(
  settings: Pick<Settings, 'kafka' | 'db2'>,
  timings: Pick<Timings, 'kafka' | 'replica'>,
): BatchStrategy {
  const kafka = settings.kafka!;
  // One connection is left for everything else. Half of the others are for partitions that wait for a lock of another program.
  const connections = Math.max(1, settings.db2!.poolSize - 1);
  const concurrency = Math.min(MAX_CONCURRENCY, Math.max(1, Math.floor(connections / 2)));
  const { rebalanceTimeoutMs, heartbeatIntervalMs, fetchWaitMs } = timings.replica;
  return new BatchStrategy({
    topic: kafka.topic,
    pattern: SUBSCRIPTION_EVENTS,
    limits: LIMITS,
    concurrency,
    maxSlowBatches: connections - concurrency,
    remedyFor: (error) => {
      const failure = classifyError(error);
      return failure.action === 'stop' ? failure.remedy : undefined;
    },
    prepare: () => ensureTopic(kafka, timings.kafka, 'read'),
    explain: (error) => explainKafkaError(error, kafka, 'read'),
    timings: timings.kafka,
    kafka: {
      client: kafkaClientOptions(kafka, 'subscription-sync-replica', timings.kafka, rebalanceTimeoutMs + JOIN_GRACE_MS),
      // Never used: Nest's server creates a producer for the replies of request handlers.
      producer: { createPartitioner: Partitioners.DefaultPartitioner },
      consumer: {
        groupId: kafka.groupId,
        allowAutoTopicCreation: false,
        // kafkajs would restart a crashed consumer even if it was disconnected meanwhile, so BatchStrategy replaces it instead.
        retry: { restartOnFailure: () => Promise.resolve(false) },
        sessionTimeout: kafka.sessionTimeoutMs,
        heartbeatInterval: heartbeatIntervalMs,
        rebalanceTimeout: rebalanceTimeoutMs,
        maxWaitTimeInMs: fetchWaitMs,
        metadataMaxAge: timings.kafka.metadataMaxAgeMs,
        ...FETCH,
      },
    },
  });
}

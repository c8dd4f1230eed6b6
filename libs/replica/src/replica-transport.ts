import { Partitioners } from 'kafkajs';
import type { DatabaseSettings, KafkaSettings } from '#config';
import { SUBSCRIPTION_EVENTS } from '#events';
import { BatchStrategy, ensureTopic, kafkaClientOptions, METADATA_MAX_AGE_MS } from '#kafka';
import { classifyError } from './failure-policy.js';

const MB = 1024 * 1024;
/** Rows applied in one transaction. Larger ones gain nothing and hold their locks longer. */
const LIMITS = { records: 2_000, bytes: 4 * MB };
/** Of what is fetched and held at once. A broker answers with one batch at least, however large: up to the topic's 10 MB. */
const FETCH = { maxBytes: 10 * MB, maxBytesPerPartition: MB };
/**
 * So long the broker may hold what a member asks, until the whole group has come together, ms. A connection that went silent while it
 * was asked looks the same, so as long a member may be away. A batch holds kafkajs up for a second (partitions.ts).
 */
const REBALANCE_MS = 20_000;
/** Partitions applied at once: as many transactions in DB2. */
const CONCURRENCY = 3;

/** The Kafka transport of the replica role, for `connectMicroservice({ strategy })`. */
export function createReplicaStrategy(settings: KafkaSettings, { poolSize }: DatabaseSettings): BatchStrategy {
  return new BatchStrategy({
    topic: settings.topic,
    pattern: SUBSCRIPTION_EVENTS,
    limits: LIMITS,
    concurrency: CONCURRENCY,
    // One connection is left for everything else.
    maxSlowBatches: Math.max(0, poolSize - CONCURRENCY - 1),
    remedyFor: (error) => {
      const verdict = classifyError(error);
      return verdict.action === 'stop' ? verdict.remedy : undefined;
    },
    prepare: () => ensureTopic(settings),
    kafka: {
      client: kafkaClientOptions(settings, 'subscription-sync-replica', REBALANCE_MS + 10_000),
      // Never used: Nest's server makes one for the replies of request handlers.
      producer: { createPartitioner: Partitioners.DefaultPartitioner },
      consumer: {
        groupId: settings.groupId,
        allowAutoTopicCreation: false,
        // kafkajs starts a consumer anew after a crash even if it was told to disconnect meanwhile: BatchStrategy does it.
        retry: { restartOnFailure: () => Promise.resolve(false) },
        sessionTimeout: settings.sessionTimeoutMs,
        // A member learns of a rebalance with a heartbeat's answer: so long partitions wait that another one gave back.
        heartbeatInterval: 1_000,
        rebalanceTimeout: REBALANCE_MS,
        // A stop waits for the fetch that is under way.
        maxWaitTimeInMs: 250,
        metadataMaxAge: METADATA_MAX_AGE_MS,
        ...FETCH,
      },
    },
  });
}

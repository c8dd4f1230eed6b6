import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { type Admin, Kafka, type KafkaConfig } from 'kafkajs';
import { SETTINGS, TIMINGS, type KafkaSettings, type KafkaTimings, type Settings, type Timings } from '#config';
import { kafkaClientOptions } from './client.js';
import { explainKafkaError, type KafkaUse } from './connection-errors.js';

/** The Kafka protocol's resource type of a topic. kafkajs's own enum cannot be imported by name from an ES module. */
const TOPIC_RESOURCE = 2;
const ADMIN_CLIENT = 'subscription-sync-admin';

/**
 * The configuration of a new topic:
 * - no compaction: a deletion is an event like any other, and history is worth keeping;
 * - no compression by the broker: kafkajs cannot read zstd, snappy or lz4, so another program's producer cannot kill the consumer;
 * - 10 MB a record: a row written by SQL may carry more metadata than the API allows;
 * - no unclean election: a leader that lacks acknowledged records would lose them.
 */
const topicConfig = ({ minInsyncReplicas }: KafkaSettings): { name: string; value: string }[] => [
  { name: 'cleanup.policy', value: 'delete' },
  { name: 'compression.type', value: 'uncompressed' },
  { name: 'max.message.bytes', value: String(10 * 1024 * 1024) },
  { name: 'min.insync.replicas', value: String(minInsyncReplicas) },
  { name: 'unclean.leader.election.enable', value: 'false' },
];

/**
 * Creates the topic if it is missing, and logs one warning for each setting of it that is unsafe or differs from the configuration.
 * Safe to call from many processes at once. `use` is that of the caller, who needs to be allowed nothing else if the topic exists.
 * @throws Error when no broker answers, or Kafka denies what the caller needs.
 */
export async function ensureTopic(settings: KafkaSettings, timings: KafkaTimings, use: Exclude<KafkaUse, 'inspect'>): Promise<void> {
  const logger = new Logger('kafka');
  await withAdmin(kafkaClientOptions(settings, ADMIN_CLIENT, timings), settings, use, async (admin) => {
    if (!(await topicExists(admin, settings.topic))) {
      await admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic: settings.topic,
            numPartitions: settings.partitions,
            replicationFactor: settings.replicationFactor,
            configEntries: topicConfig(settings),
          },
        ],
      });
    }
    const topic = await describeTopic(admin, settings.topic);
    for (const flaw of checkTopicConfig(settings, topic)) {
      logger.warn({ code: 'topic-settings', message: `Topic ${settings.topic} ${flaw}` });
    }
    if (topic.config === undefined) {
      logger.log({
        code: 'topic-settings-unchecked',
        message: `The settings of topic ${settings.topic} are not checked: Kafka denies the operation DescribeConfigs on it.`,
      });
    }
  });
}

/** Returns the flaws of the topic as {@link ensureTopic} warns of them, or undefined when there is no topic. @throws Error as it does. */
export function inspectTopic(settings: KafkaSettings, timings: KafkaTimings): Promise<string[] | undefined> {
  return withAdmin(quickAdminOptions(settings, timings), settings, 'inspect', async (admin) =>
    (await topicExists(admin, settings.topic)) ? checkTopicConfig(settings, await describeTopic(admin, settings.topic)) : undefined,
  );
}

/** Whether the topic exists. The list of all topics does not tell: it leaves out those that the client may not describe. */
async function topicExists(admin: Admin, topic: string): Promise<boolean> {
  try {
    await admin.fetchTopicMetadata({ topics: [topic] });
    return true;
  } catch (error) {
    if ((error as { type?: unknown }).type === 'UNKNOWN_TOPIC_OR_PARTITION') return false;
    throw error;
  }
}

async function describeTopic(admin: Admin, topic: string): Promise<TopicFacts> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  return {
    partitions: partitions.length,
    replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
    config: await describeTopicConfig(admin, topic),
  };
}

/** Returns the settings of the topic, or undefined if the client may not see them. */
async function describeTopicConfig(admin: Admin, topic: string): Promise<TopicFacts['config']> {
  try {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC_RESOURCE, name: topic }] });
    return new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  } catch (error) {
    if ((error as { type?: unknown }).type === 'TOPIC_AUTHORIZATION_FAILED') return undefined;
    throw error;
  }
}

/**
 * Returns, per partition, the offset of the first record that has not expired and the offset that the next record gets (end offset).
 * Both are far below 2^53. Empty when the topic does not exist.
 */
export async function fetchTopicOffsets(
  settings: KafkaSettings,
  timings: KafkaTimings,
): Promise<Map<number, { readonly first: number; readonly end: number }>> {
  return withAdmin(quickAdminOptions(settings, timings), settings, 'inspect', async (admin) => {
    if (!(await topicExists(admin, settings.topic))) return new Map<number, { first: number; end: number }>();
    const offsets = await admin.fetchTopicOffsets(settings.topic);
    return new Map(offsets.map(({ partition, low, high }) => [partition, { first: Number(low), end: Number(high) }]));
  });
}

/**
 * Returns, per partition, the offset of the first record with a timestamp of at least `since` (ms of the epoch), or the end offset if there is
 * none. Empty when the topic does not exist.
 */
export async function fetchTopicOffsetsSince(settings: KafkaSettings, timings: KafkaTimings, since: number): Promise<Map<number, number>> {
  return withAdmin(quickAdminOptions(settings, timings), settings, 'inspect', async (admin) => {
    if (!(await topicExists(admin, settings.topic))) return new Map<number, number>();
    const offsets = await admin.fetchTopicOffsetsByTimestamp(settings.topic, since);
    return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
  });
}

/** How long a topic keeps its records. */
export interface TopicRetention {
  /** `retention.ms`; null without a limit. */
  readonly retentionMs: number | null;
  readonly compacted: boolean;
}

/** Returns how long the topic keeps its records, or undefined if there is no topic, or the client may not see its settings. */
export function fetchTopicRetention(settings: KafkaSettings, timings: KafkaTimings): Promise<TopicRetention | undefined> {
  return withAdmin(quickAdminOptions(settings, timings), settings, 'inspect', async (admin) => {
    const config = (await topicExists(admin, settings.topic)) ? await describeTopicConfig(admin, settings.topic) : undefined;
    if (!config) return undefined;
    const policy = config.get('cleanup.policy') ?? 'delete';
    const retentionMs = Number(config.get('retention.ms') ?? -1);
    return { retentionMs: retentionMs < 0 || !policy.includes('delete') ? null : retentionMs, compacted: policy.includes('compact') };
  });
}

/** Returns, per partition, the offset that the replica's group has committed: the next offset it reads. Partitions without one are omitted. */
export async function fetchCommittedOffsets(settings: KafkaSettings, timings: KafkaTimings): Promise<Map<number, number>> {
  return withAdmin(quickAdminOptions(settings, timings), settings, 'inspect', async (admin) => {
    if (!(await topicExists(admin, settings.topic))) return new Map<number, number>();
    const [topic] = await admin.fetchOffsets({ groupId: settings.groupId, topics: [settings.topic] });
    const committed = (topic?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)] as const);
    return new Map(committed.filter(([, offset]) => offset >= 0));
  });
}

/** Returns options for requests that are frequent and must end soon while brokers hang: scraping metrics and stopping do not wait long. */
function quickAdminOptions(settings: KafkaSettings, timings: KafkaTimings): KafkaConfig {
  const { quickRequestTimeoutMs } = timings;
  return {
    ...kafkaClientOptions(settings, ADMIN_CLIENT, timings),
    retry: { retries: 0 },
    connectionTimeout: quickRequestTimeoutMs,
    requestTimeout: quickRequestTimeoutMs,
  };
}

async function withAdmin<T>(options: KafkaConfig, settings: KafkaSettings, use: KafkaUse, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka(options).admin();
  try {
    await admin.connect();
    return await work(admin);
  } catch (error) {
    throw new Error(explainKafkaError(error as Error, settings, use), { cause: error });
  } finally {
    await admin.disconnect();
  }
}

/** A topic as the brokers describe it. */
interface TopicFacts {
  readonly partitions: number;
  /** Number of replicas of the partition that has the fewest. */
  readonly replicas: number;
  /** Undefined if the client may not see it. */
  readonly config: ReadonlyMap<string, string> | undefined;
}

/**
 * Lists topic settings that are unsafe or differ from the configuration, each with its fix. Changes nothing: other programs may use the
 * topic.
 */
function checkTopicConfig(settings: KafkaSettings, { partitions, replicas, config }: TopicFacts): string[] {
  const flaws: string[] = [];
  if (partitions !== settings.partitions) {
    flaws.push(
      `has partition count ${partitions}, KAFKA_PARTITIONS says ${settings.partitions}: the topic is used as it is; set KAFKA_PARTITIONS to match. ` +
        'Events of one email arrive in order only while the count does not change.',
    );
  }
  if (replicas < settings.replicationFactor) {
    flaws.push(
      `has replication factor ${replicas}, KAFKA_REPLICATION_FACTOR says ${settings.replicationFactor}: changes may be lost with a broker; add replicas by a reassignment.`,
    );
  }
  const minInsync = Number(config?.get('min.insync.replicas') ?? settings.minInsyncReplicas);
  if (minInsync < settings.minInsyncReplicas) {
    flaws.push(
      `has min.insync.replicas=${minInsync}, KAFKA_MIN_INSYNC_REPLICAS says ${settings.minInsyncReplicas}: a change counts as published with fewer copies than configured; raise the topic's setting.`,
    );
  }
  if (config?.get('unclean.leader.election.enable') === 'true') {
    flaws.push('has unclean.leader.election.enable=true: a leader that lacks published changes may be elected; set it to false.');
  }
  if (config?.get('cleanup.policy')?.includes('compact')) {
    flaws.push(`has cleanup.policy=${config.get('cleanup.policy')}: compaction removes events that readers need; set it to delete.`);
  }
  return flaws;
}

/** Checks whether the brokers answer, over a connection that is kept as long as it answers. */
@Injectable()
export class BrokerCheck implements OnApplicationShutdown {
  private admin: Admin | undefined;
  private pending: Promise<unknown> | undefined;
  private readonly timings: KafkaTimings;

  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.timings = timings.kafka;
  }

  /** @throws Error when no broker answers within `quickRequestTimeoutMs` (2 s). */
  async check(): Promise<void> {
    const { quickRequestTimeoutMs } = this.timings;
    this.pending ??= this.request().finally(() => (this.pending = undefined));
    const timer = new AbortController();
    const timeout = delay(quickRequestTimeoutMs, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`no answer within ${quickRequestTimeoutMs} ms`);
    });
    try {
      await Promise.race([this.pending, timeout]);
    } finally {
      timeout.catch(() => undefined);
      this.pending?.catch(() => undefined);
      timer.abort();
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.admin?.disconnect();
  }

  private async request(): Promise<void> {
    this.admin ??= this.createAdmin();
    try {
      await this.admin.connect();
      await this.admin.describeCluster();
    } catch (error) {
      this.discardAdmin();
      throw new Error(explainKafkaError(error as Error, this.settings.kafka!, 'inspect'), { cause: error });
    }
  }

  private createAdmin(): Admin {
    const { quickRequestTimeoutMs } = this.timings;
    const options = kafkaClientOptions(this.settings.kafka!, 'subscription-sync-health', this.timings, 2 * quickRequestTimeoutMs);
    return new Kafka({ ...options, retry: { retries: 0 }, requestTimeout: quickRequestTimeoutMs }).admin();
  }

  /** kafkajs may take a connection that has ended for an open one and use it for ever, so a client is not reused after an error. */
  private discardAdmin(): void {
    this.admin?.disconnect().catch(() => undefined);
    this.admin = undefined;
  }
}

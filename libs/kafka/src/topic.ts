import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { type Admin, Kafka, type KafkaConfig } from 'kafkajs';
import { SETTINGS, type KafkaSettings, type Settings } from '#config';
import { kafkaClientOptions } from './client.js';

/** Kafka protocol: a resource of type topic. kafkajs's own enum can't be imported by name from an ES module. */
const TOPIC_RESOURCE = 2;

/**
 * - no compaction: a deletion is an event like any other, and history is worth keeping;
 * - no compression by the broker: kafkajs can't read zstd, snappy or lz4, so a producer of somebody else's can't kill the consumer;
 * - 10 MB: a row written by SQL may carry more metadata than the API allows;
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
 * Makes the topic when it is missing, and says in one line each what of it is not as asked for. Safe to call from many processes
 * at once.
 * @throws what kafkajs throws when no broker answers.
 */
export async function ensureTopic(settings: KafkaSettings): Promise<void> {
  const logger = new Logger('kafka');
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
            configEntries: topicConfig(settings),
          },
        ],
      });
    }
    for (const flaw of checkTopicConfig(settings, await describeTopic(admin, settings.topic)))
      logger.warn(`Topic ${settings.topic} ${flaw}`);
  });
}

async function describeTopic(admin: Admin, topic: string): Promise<TopicFacts> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: TOPIC_RESOURCE, name: topic }],
  });
  const partitions = topics[0]?.partitions ?? [];
  return {
    partitions: partitions.length,
    replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
    config: new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue])),
  };
}

/**
 * Of each partition: the offset of its first record that has not expired, and the one that the next record gets; both far below 2^53.
 * Empty when there is no such topic.
 */
export async function fetchTopicOffsets(settings: KafkaSettings): Promise<Map<number, { readonly first: number; readonly end: number }>> {
  return withAdmin(
    settings,
    async (admin) => {
      if (!(await admin.listTopics()).includes(settings.topic)) return new Map<number, { first: number; end: number }>();
      const offsets = await admin.fetchTopicOffsets(settings.topic);
      return new Map(offsets.map(({ partition, low, high }) => [partition, { first: Number(low), end: Number(high) }]));
    },
    QUICK,
  );
}

/** What the replica's group has committed of each partition: the next offset it wants. Partitions without are left out. */
export async function fetchCommittedOffsets(settings: KafkaSettings): Promise<Map<number, number>> {
  return withAdmin(
    settings,
    async (admin) => {
      if (!(await admin.listTopics()).includes(settings.topic)) return new Map<number, number>();
      const [topic] = await admin.fetchOffsets({ groupId: settings.groupId, topics: [settings.topic] });
      const committed = (topic?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)] as const);
      return new Map(committed.filter(([, offset]) => offset >= 0));
    },
    QUICK,
  );
}

/** Asked often, and while brokers hang, too: who scrapes metrics, or wants to stop, does not wait for long. */
const QUICK: Partial<KafkaConfig> = { retry: { retries: 0 }, connectionTimeout: 2_000, requestTimeout: 2_000 };

async function withAdmin<T>(settings: KafkaSettings, work: (admin: Admin) => Promise<T>, options: Partial<KafkaConfig> = {}): Promise<T> {
  const admin = new Kafka({ ...kafkaClientOptions(settings, 'subscription-sync-admin'), ...options }).admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** A topic as the brokers describe it. */
interface TopicFacts {
  readonly partitions: number;
  /** Of the partition that has the fewest. */
  readonly replicas: number;
  readonly config: ReadonlyMap<string, string>;
}

/** What of a topic endangers the promises or is not what the settings say, with what to do. Nothing of it is changed here: others may use it. */
function checkTopicConfig(settings: KafkaSettings, { partitions, replicas, config }: TopicFacts): string[] {
  const flaws: string[] = [];
  if (partitions !== settings.partitions) {
    flaws.push(
      `has ${partitions} partitions, KAFKA_PARTITIONS says ${settings.partitions}: it is used as it is; set KAFKA_PARTITIONS to match. ` +
        'Events of one email arrive in order only while the count does not change.',
    );
  }
  if (replicas < settings.replicationFactor) {
    flaws.push(
      `has ${replicas} replicas of a partition, KAFKA_REPLICATION_FACTOR says ${settings.replicationFactor}: brokers that die may take changes along; reassign it.`,
    );
  }
  const minInsync = Number(config.get('min.insync.replicas') ?? settings.minInsyncReplicas);
  if (minInsync < settings.minInsyncReplicas) {
    flaws.push(
      `has min.insync.replicas=${minInsync}, KAFKA_MIN_INSYNC_REPLICAS says ${settings.minInsyncReplicas}: a change counts as published with fewer copies than asked for; raise it.`,
    );
  }
  if (config.get('unclean.leader.election.enable') === 'true') {
    flaws.push('has unclean.leader.election.enable=true: a leader that lacks published changes may be elected; set it to false.');
  }
  if (config.get('cleanup.policy')?.includes('compact')) {
    flaws.push(`has cleanup.policy=${config.get('cleanup.policy')}: compaction removes events that readers count on; set it to delete.`);
  }
  return flaws;
}

const TIMEOUT_MS = 2_000;

/** Asks the brokers whether they are there, over a connection that is kept while it answers. */
@Injectable()
export class BrokerCheck implements OnApplicationShutdown {
  private admin: Admin | undefined;
  private asking: Promise<unknown> | undefined;

  constructor(@Inject(SETTINGS) private readonly settings: Settings) {}

  /** @throws Error when no broker answers within 2 s. */
  async check(): Promise<void> {
    this.asking ??= this.ask().finally(() => (this.asking = undefined));
    const timer = new AbortController();
    const timeout = delay(TIMEOUT_MS, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`no answer within ${TIMEOUT_MS} ms`);
    });
    try {
      await Promise.race([this.asking, timeout]);
    } finally {
      timeout.catch(() => undefined);
      this.asking?.catch(() => undefined);
      timer.abort();
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.admin?.disconnect();
  }

  private async ask(): Promise<void> {
    if (!this.admin) {
      const settings = this.settings.kafka!;
      const options = kafkaClientOptions(settings, 'subscription-sync-health', 2 * TIMEOUT_MS);
      this.admin = new Kafka({ ...options, retry: { retries: 0 }, requestTimeout: TIMEOUT_MS }).admin();
    }
    try {
      await this.admin.connect();
      await this.admin.describeCluster();
    } catch (error) {
      this.startAnew();
      throw error;
    }
  }

  /** kafkajs may take a connection that has ended for one that is open, and ask on it for ever: what failed once is not asked again. */
  private startAnew(): void {
    this.admin?.disconnect().catch(() => undefined);
    this.admin = undefined;
  }
}

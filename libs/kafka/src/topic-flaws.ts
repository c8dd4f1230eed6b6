import type { KafkaSettings } from '#config';

/** A topic as the brokers describe it. */
export interface TopicFacts {
  readonly partitions: number;
  /** Of the partition that has the fewest. */
  readonly replicas: number;
  readonly config: ReadonlyMap<string, string>;
}

/** What of a topic endangers the promises or is not what the settings say, with what to do. Nothing of it is changed here: others may use it. */
export function flawsOf(settings: KafkaSettings, { partitions, replicas, config }: TopicFacts): string[] {
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

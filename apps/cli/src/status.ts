import { DataSource } from 'typeorm';
import { type DatabaseSettings, DEFAULT_TIMINGS, type KafkaSettings, type Settings, type TableSettings } from '#config';
import { fetchTopicOffsets, fetchTopicOffsetsSince } from '#kafka';
import { db1ConnectionOptions, describeTable, type Query, queryOf } from '#postgres';
import { readRuns, type RunView } from '#reconciliation';
import { findBeyond, readReplicaStatus, type ReplicaStatus } from '#replica';
import { readSyncStatus, type SyncStatus } from '#sync';

/** Number of newest runs among which the unfinished one is looked for. */
const RUNS = 20;

/** Age (s) from which what waits is a problem. The alerts have the same limit. */
export const MAX_LAG_S = 60;

/** Why a part cannot be read. */
export interface Unreachable {
  readonly error: string;
}

export interface DatabaseStatus {
  readonly address: string;
  readonly version: string;
  readonly table: string;
}

export interface KafkaStatus {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** 0 when the topic does not exist. */
  readonly partitions: number;
}

export interface ApplyStatus {
  /** Number of records of the topic that DB2 has not applied. */
  readonly records: number;
  /** Number of those that have waited for longer than {@link MAX_LAG_S}. */
  readonly late: number;
}

export type RunStatus = Omit<RunView, 'after_email' | 'until_email' | 'position'>;

/** The parts of the pipeline at one moment. A part that the settings do not name is null. */
export interface StatusParts {
  readonly database1: DatabaseStatus | Unreachable | null;
  readonly database2: DatabaseStatus | Unreachable | null;
  readonly kafka: KafkaStatus | Unreachable | null;
  readonly sync: SyncStatus | Unreachable | null;
  readonly apply: ApplyStatus | Unreachable | null;
  readonly dead_letters: ReplicaStatus['dead_letters'] | Unreachable | null;
  /** The unfinished run, or the last one; null when there was none. */
  readonly run: RunStatus | Unreachable | null;
}

export function failed(part: object | null): part is Unreachable {
  return part !== null && 'error' in part;
}

/** Reads everything at once. A part that cannot be read does not keep the others from being shown. */
export async function readStatus(settings: Settings): Promise<StatusParts> {
  const { db1, db2, kafka, mapping, capture } = settings;
  const [one, two, topic] = await Promise.all([
    inDatabase(db1, async (query, address) => ({
      database: await settle(describeDatabase(query, address, 'DB1', mapping.db1)),
      sync: await settle(readSyncStatus(query, capture.slot)),
      run: await settle(lastRun(query)),
    })),
    inDatabase(db2, async (query, address) => ({
      database: await settle(describeDatabase(query, address, 'DB2', mapping.db2)),
      replica: kafka ? await settle(readReplicaStatus(query, kafka.topic)) : null,
    })),
    kafka ? settle(describeTopic(kafka)) : null,
  ]);
  const replica = failed(two) ? two : (two?.replica ?? null);
  return {
    database1: failed(one) ? one : (one?.database ?? null),
    database2: failed(two) ? two : (two?.database ?? null),
    kafka: failed(topic) ? topic : kafka && topic ? { brokers: kafka.brokers, topic: kafka.topic, partitions: topic.offsets.size } : null,
    sync: failed(one) ? one : (one?.sync ?? null),
    apply: failed(topic) ? topic : failed(replica) ? replica : topic && replica && lagOf(topic, replica),
    dead_letters: failed(replica) ? replica : (replica?.dead_letters ?? null),
    run: failed(one) ? one : (one?.run ?? null),
  };
}

/** Calls `work` with a connection of its own; null without settings. */
async function inDatabase<T>(
  settings: DatabaseSettings | undefined,
  work: (query: Query, address: string) => Promise<T>,
): Promise<T | Unreachable | null> {
  if (!settings) return null;
  const { user, host, port, database } = settings;
  const address = `${user}@${host}:${port}/${database}`;
  const source = new DataSource(db1ConnectionOptions({ ...settings, poolSize: 1 }));
  try {
    await source.initialize();
    return await work(queryOf(source), address);
  } catch (error) {
    return { error: `${address} cannot be used: ${(error as Error).message}` };
  } finally {
    if (source.isInitialized) await source.destroy().catch(() => undefined);
  }
}

async function settle<T>(part: Promise<T>): Promise<T | Unreachable> {
  try {
    return await part;
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function describeDatabase(query: Query, address: string, name: 'DB1' | 'DB2', table: TableSettings): Promise<DatabaseStatus> {
  const [facts] = await query<{ version: string }>(`SELECT current_setting('server_version') AS version`);
  const { label } = await describeTable(query, name, table);
  return { address, version: facts!.version, table: label };
}

async function lastRun(query: Query): Promise<RunStatus | null> {
  const runs = await readRuns({ query }, RUNS);
  const run = runs.find(({ outcome, paused }) => outcome === null && !paused) ?? runs[0];
  if (!run) return null;
  const { after_email: _after, until_email: _until, position: _position, ...status } = run;
  return status;
}

interface TopicOffsets {
  readonly offsets: Awaited<ReturnType<typeof fetchTopicOffsets>>;
  /** By partition, the offset of the first record that is not late. */
  readonly recent: ReadonlyMap<number, number>;
}

async function describeTopic(kafka: KafkaSettings): Promise<TopicOffsets> {
  const [recent, offsets] = await Promise.all([
    fetchTopicOffsetsSince(kafka, DEFAULT_TIMINGS.kafka, Date.now() - MAX_LAG_S * 1_000),
    fetchTopicOffsets(kafka, DEFAULT_TIMINGS.kafka),
  ]);
  return { recent, offsets };
}

function lagOf({ offsets, recent }: TopicOffsets, { applied }: ReplicaStatus): ApplyStatus {
  const untilRecent = new Map([...offsets].map(([partition, { first, end }]) => [partition, { first, end: recent.get(partition) ?? end }]));
  const count = (ends: TopicOffsets['offsets']): number =>
    [...findBeyond(ends, applied).values()].reduce((sum, waiting) => sum + waiting.count, 0);
  return { records: count(offsets), late: count(untilRecent) };
}

import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { BEYOND_CHECKPOINT } from '#change-log';
import type { KafkaSettings, KafkaTimings, ReconciliationTimings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';
import { appliedPositions } from '#replica';

const PUBLISHED = `SELECT NOT EXISTS (SELECT ${BEYOND_CHECKPOINT} AND pg_visible_in_snapshot(l.txid, $1)) AS yes`;

interface StreamDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly kafka: KafkaSettings;
  readonly timings: ReconciliationTimings;
  readonly kafkaTimings: KafkaTimings;
  readonly signal: AbortSignal;
}

/**
 * Resolves when everything that is committed in DB1 now has been published, and everything that was on Kafka then is in DB2 or a dead
 * letter. A row that still differs after that, and was not changed meanwhile, differs for good. Takes as long as the stream needs.
 * Rejects when `signal` aborts.
 */
export async function waitUntilApplied({ db1, db2, kafka, timings, kafkaTimings, signal }: StreamDependencies): Promise<void> {
  const until = async (condition: () => Promise<boolean>): Promise<void> => {
    while (!(await condition())) await delay(timings.appliedPollMs, undefined, { signal });
  };
  const [now] = await db1.query<[{ snapshot: string }]>('SELECT pg_current_snapshot()::text AS snapshot');
  await until(async () => (await db1.query<[{ yes: boolean }]>(PUBLISHED, [now.snapshot]))[0].yes);
  const ends = await fetchTopicOffsets(kafka, kafkaTimings);
  await until(() => isApplied(db2, kafka, kafkaTimings, ends));
}

/** Returns the highest version that DB2 has applied; 0 when there is none. */
export async function highestApplied(db2: DataSource, { topic }: KafkaSettings): Promise<number> {
  const positions = await appliedPositions(db2, topic);
  return Math.max(0, ...positions.map(({ version }) => version));
}

/** Returns the offset after the last one that DB2 has applied, for each partition of which it has applied any. */
export async function nextOffsets(db2: DataSource, { topic }: KafkaSettings): Promise<ReadonlyMap<number, number>> {
  const positions = await appliedPositions(db2, topic);
  return new Map(positions.map(({ partition, offset }) => [partition, offset + 1]));
}

/** Records that expired, or that were committed to Kafka by a DB2 that has been restored since, are not waited for: they never come. */
async function isApplied(
  db2: DataSource,
  kafka: KafkaSettings,
  timings: KafkaTimings,
  ends: ReadonlyMap<number, { first: number; end: number }>,
): Promise<boolean> {
  const applied = await nextOffsets(db2, kafka);
  const waiting = [...ends].filter(([partition, { first, end }]) => Math.max(applied.get(partition) ?? 0, first) < end);
  if (waiting.length === 0) return true;
  const committed = await fetchCommittedOffsets(kafka, timings);
  return waiting.every(([partition, { end }]) => (committed.get(partition) ?? 0) >= end);
}

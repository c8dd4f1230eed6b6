import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { BEYOND_CHECKPOINT } from '#change-log';
import type { KafkaSettings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';

const POLL_INTERVAL_MS = 250;

const PUBLISHED = `SELECT NOT EXISTS (SELECT ${BEYOND_CHECKPOINT} AND pg_visible_in_snapshot(l.txid, $1)) AS yes`;

/**
 * Resolves when everything that is committed in DB1 now has been on Kafka, and all that Kafka had then is in DB2 or a dead letter: who
 * differs after it, and was not changed meanwhile, differs for good. Takes as long as the stream needs. Rejects when `signal` aborts.
 */
export async function waitUntilApplied(db1: DataSource, db2: DataSource, kafka: KafkaSettings, signal: AbortSignal): Promise<void> {
  const [now] = await db1.query<[{ snapshot: string }]>('SELECT pg_current_snapshot()::text AS snapshot');
  await until(async () => (await db1.query<[{ yes: boolean }]>(PUBLISHED, [now.snapshot]))[0].yes, signal);
  const ends = await fetchTopicOffsets(kafka);
  await until(() => isApplied(db2, kafka, ends), signal);
}

/** The highest version that DB2 has applied. */
export async function highestApplied(db2: DataSource, { topic }: KafkaSettings): Promise<number> {
  const [highest] = await db2.query<[{ version: number | null }]>(
    'SELECT max(version) AS version FROM replica_positions WHERE topic = $1',
    [topic],
  );
  return highest.version ?? 0;
}

/** The offset that DB2 wants next of each partition of which it has something. */
export async function nextOffsets(db2: DataSource, { topic }: KafkaSettings): Promise<ReadonlyMap<number, number>> {
  const rows = await db2.query<{ partition: number; next: number }[]>(
    'SELECT partition, "offset" + 1 AS next FROM replica_positions WHERE topic = $1',
    [topic],
  );
  return new Map(rows.map(({ partition, next }) => [partition, next]));
}

/** What expired, or was committed to Kafka by a DB2 that was restored since, does not come any more. */
async function isApplied(
  db2: DataSource,
  kafka: KafkaSettings,
  ends: ReadonlyMap<number, { first: number; end: number }>,
): Promise<boolean> {
  const applied = await nextOffsets(db2, kafka);
  const waiting = [...ends].filter(([partition, { first, end }]) => Math.max(applied.get(partition) ?? 0, first) < end);
  if (waiting.length === 0) return true;
  const committed = await fetchCommittedOffsets(kafka);
  return waiting.every(([partition, { end }]) => (committed.get(partition) ?? 0) >= end);
}

async function until(holds: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await holds())) await delay(POLL_INTERVAL_MS, undefined, { signal });
}

import type { DataSource } from 'typeorm';
import type { KafkaSettings } from '#config';
import { type ContinuityGap, findGaps, observeContinuity } from './gaps.js';
import { drawAbove } from './repair.js';
import { ALL_ROWS, type Runs } from './runs.js';

/** For the log. */
export const WHAT_HAPPENED: Readonly<Record<ContinuityGap, string>> = {
  db1_lost_changes: 'DB2 has changes that DB1 does not know: DB1 was restored to an earlier state, or is a standby that lost its tail',
  db2_lost_changes: 'DB2 lacks changes that it had: it was restored to an earlier state',
  topic_lost_records: 'The topic lost records before they were read: it was deleted, or they expired',
};

/**
 * Looks whether the chain DB1 → Kafka → DB2 still holds, and opens a run over all rows where it does not: repaired whatever
 * RECONCILE_REPAIR says, as without it DB2 would stay what DB1 never was.
 * @returns what is broken; nothing when another run is under way, after which it is found again.
 */
export async function openRunForGaps(
  db1: DataSource,
  db2: DataSource,
  kafka: KafkaSettings,
  runs: Runs,
): Promise<readonly ContinuityGap[]> {
  const evidence = await observeContinuity(db1, db2, kafka);
  const breaks = findGaps(evidence.partitions, evidence.sequence);
  if (breaks.length === 0) return [];
  // At once: what DB1 draws below DB2's versions until then is guarded away, and a row that is made anew would be missing.
  await drawAbove(db1, Math.max(...evidence.partitions.map(({ version }) => version)));
  const kind = (await isEmpty(db2)) ? 'resync' : 'compare';
  const id = await runs.open({ ...ALL_ROWS, kind, reason: breaks.join(', '), evidence });
  return id === undefined ? [] : breaks;
}

/** Then all rows are missing, and finding that out one by one takes longer than bringing them. */
async function isEmpty(db2: DataSource): Promise<boolean> {
  const [found] = await db2.query<[{ empty: boolean }]>('SELECT NOT EXISTS (SELECT FROM replicated_subscriptions) AS empty');
  return found.empty;
}

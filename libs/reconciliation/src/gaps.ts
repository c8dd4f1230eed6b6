import type { DataSource } from 'typeorm';
import { findKnownChanges } from '#change-log';
import type { KafkaSettings, KafkaTimings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';
import { appliedPositions, correctPositions, isReplicaEmpty } from '#replica';
import { advanceSequenceAbove } from './repair.js';

/** Facts about one partition of the topic, read in this order: committed, DB2, DB1, end. Each may have advanced since it was read. */
export interface PartitionFacts {
  readonly partition: number;
  /** The offset that the replica's group has committed to Kafka: the next offset it reads. */
  readonly committed: number | undefined;
  /** Offset of the last record that DB2 has applied; -1 when there is none. */
  readonly applied: number;
  /** The highest version that DB2 has applied from this partition; 0 when there is none. */
  readonly version: number;
  /** Whether DB1's log has the change of that version. Undefined where the log does not go back that far. */
  readonly known: boolean | undefined;
  /** Number of times that the replica got records that did not follow the previous ones. */
  readonly breaks: number;
  /** The first offset that the replica skipped, as far as it is known; -1 when the topic was created again. */
  readonly missingFrom: number | undefined;
  /** Offset of the first record that has not expired. Undefined when the topic has no such partition. */
  readonly first: number | undefined;
  /** End offset: the offset that the partition's next record gets. Undefined when the topic has no such partition. */
  readonly end: number | undefined;
}

/**
 * A gap in the chain DB1 → Kafka → DB2 that none of the parts notices by itself:
 * - `db1_lost_changes`: DB2 has changes that DB1 does not know. DB1 was restored, or is a standby that was promoted without its last
 *   changes.
 * - `db2_lost_changes`: the replica has read records that DB2 does not have, and the topic still had them. DB2 was restored.
 * - `topic_lost_records`: the topic was deleted, or dropped records before the replica had read them.
 */
export type ContinuityGap = 'db1_lost_changes' | 'db2_lost_changes' | 'topic_lost_records';

/** Descriptions for the log. */
export const GAP_DESCRIPTIONS: Readonly<Record<ContinuityGap, string>> = {
  db1_lost_changes:
    'DB2 has changes that DB1 does not know: DB1 was restored to an earlier state, or is a standby that lost its last changes',
  db2_lost_changes: 'DB2 lacks changes that it had applied: it was restored to an earlier state',
  topic_lost_records: 'The topic lost records before they were read: it was deleted, or they expired',
};

/** The run that a gap requires. */
export interface RunForGaps {
  readonly kind: 'resync' | 'compare';
  readonly gaps: readonly ContinuityGap[];
  readonly reason: string;
  readonly evidence: Observation;
}

/**
 * Checks whether the chain DB1 → Kafka → DB2 is continuous, and advances DB1's sequence where DB2 has higher versions.
 * @returns the run over all rows that the gaps require; undefined without a gap. That run repairs whatever RECONCILE_REPAIR says: without
 *   it, DB2 would keep a state that DB1 never had.
 */
export async function findRunForGaps(
  db1: DataSource,
  db2: DataSource,
  kafka: KafkaSettings,
  timings: KafkaTimings,
): Promise<RunForGaps | undefined> {
  const evidence = await observeContinuity(db1, db2, kafka, timings);
  const gaps = findGaps(evidence.partitions, evidence.sequence);
  if (gaps.length === 0) return undefined;
  // Advance the sequence first: DB2's guard would drop anything DB1 versions below DB2's maximum.
  await advanceSequenceAbove(db1, Math.max(...evidence.partitions.map(({ version }) => version)));
  // An empty DB2 lacks all rows: finding that out one by one takes longer than copying them.
  const kind = (await isReplicaEmpty(db2)) ? 'resync' : 'compare';
  return { kind, gaps, reason: gaps.join(', '), evidence };
}

/**
 * Returns the gaps; none when every change of DB1 is in DB2 or on its way. `sequence` is the last version that DB1 has drawn.
 */
export function findGaps(partitions: readonly PartitionFacts[], sequence: number): ContinuityGap[] {
  return [...new Set(partitions.flatMap((facts) => gapsOf(facts, sequence)))];
}

/** Whether a run that was opened for `evidence` also deals with the gaps that `observed` shows: each is the same one as then. */
export function coversGaps(evidence: Observation, observed: Observation): boolean {
  const key = (facts: PartitionFacts, gap: ContinuityGap): string =>
    JSON.stringify([gap, facts.partition, facts.version, facts.breaks, facts.applied]);
  const keys = ({ partitions, sequence }: Observation): string[] =>
    partitions.flatMap((facts) => gapsOf(facts, sequence).map((gap) => key(facts, gap)));
  const covered = new Set(keys(evidence));
  return keys(observed).every((observedKey) => covered.has(observedKey));
}

function gapsOf(facts: PartitionFacts, sequence: number): ContinuityGap[] {
  const { committed, applied, breaks, missingFrom, first, end } = facts;
  const found: ContinuityGap[] = [];
  if (isUnknown(facts, sequence)) found.push('db1_lost_changes');
  // Records that the replica skipped, and that the topic still has, were applied by a DB2 that was restored since.
  const topicHasSkipped = missingFrom !== undefined && missingFrom >= 0 && first !== undefined && missingFrom >= first;
  if ((committed !== undefined && committed > applied + 1) || (breaks > 0 && topicHasSkipped)) found.push('db2_lost_changes');
  if ((breaks > 0 && !topicHasSkipped) || (applied >= 0 && (end === undefined || applied >= end))) found.push('topic_lost_records');
  return found;
}

/** Whether DB2 has a change that DB1 does not know. */
function isUnknown({ version, known }: Pick<PartitionFacts, 'version' | 'known'>, sequence: number): boolean {
  return version > sequence || known === false;
}

export interface Observation {
  readonly partitions: readonly PartitionFacts[];
  /** The last version that DB1 has drawn. */
  readonly sequence: number;
}

const SEQUENCE = 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS value FROM subscription_sync.version';

/** Reads the facts about all partitions: three small queries and two requests to Kafka. Rejects with the error of a database or of Kafka. */
async function observeContinuity(db1: DataSource, db2: DataSource, kafka: KafkaSettings, timings: KafkaTimings): Promise<Observation> {
  const committed = await fetchCommittedOffsets(kafka, timings);
  const positions = await appliedPositions(db2, kafka.topic);
  const known = await findKnownChanges(db1, positions);
  const [sequence] = await db1.query<[{ value: number }]>(SEQUENCE);
  const ends = await fetchTopicOffsets(kafka, timings);
  const byPartition = new Map(positions.map((position) => [position.partition, position]));
  const partitions = [...new Set([...byPartition.keys(), ...ends.keys()])].map((partition): PartitionFacts => {
    const position = byPartition.get(partition);
    return {
      partition,
      committed: committed.get(partition),
      applied: position?.offset ?? -1,
      version: position?.version ?? 0,
      known: known.get(partition),
      breaks: position?.breaks ?? 0,
      missingFrom: position?.missing_from ?? undefined,
      first: ends.get(partition)?.first,
      end: ends.get(partition)?.end,
    };
  });
  return { partitions, sequence: sequence.value };
}

/**
 * Clears the gaps that a run has dealt with. Gaps that were found since stay: the count of breaks is only reduced, and a position that
 * has advanced is left as it is.
 */
export async function clearGaps(db2: DataSource, { topic }: KafkaSettings, { partitions, sequence }: Observation): Promise<void> {
  const corrections = partitions.map((facts) => ({
    partition: facts.partition,
    breaks: facts.breaks,
    version: isUnknown(facts, sequence) ? facts.version : -1,
    offset: facts.applied,
    correctedOffset: correctedOffset(facts),
  }));
  await correctPositions(db2, topic, corrections);
}

/** Returns the topic's end where the position is beyond it, and Kafka's committed offset where the position is before that. */
function correctedOffset({ applied, committed, end }: PartitionFacts): number {
  if (end === undefined || applied >= end) return (end ?? 0) - 1;
  return Math.max(applied, (committed ?? 0) - 1);
}

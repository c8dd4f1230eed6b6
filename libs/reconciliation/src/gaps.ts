import type { DataSource } from 'typeorm';
import { advanceSequence, findKnownChanges, findNeverDrawn, highestLoggedChange, lastDrawnVersion } from '#change-log';
import type { KafkaSettings, KafkaTimings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';
import {
  appliedLately,
  appliedPositions,
  capturedChange,
  correctPositions,
  forgetCapturedChange,
  forgetLately,
  isReplicaEmpty,
  replaceHighest,
} from '#replica';

/**
 * Distance by which the sequence of a DB1 that has lost changes is advanced beyond the newest one that the capture is known to have read.
 * The capture may have read later ones, and other transactions draw versions between the check of the sequence and its advance.
 */
const VERSION_MARGIN = 1_000_000;

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
  /** Versions that DB2 has applied from this partition lately and that DB1 has never drawn for their emails. */
  readonly foreign: readonly number[];
  /** Number of times that the replica got records that did not follow the previous ones. */
  readonly breaks: number;
  /** The first offset that the replica skipped, as far as it is known; -1 when the topic was created again. */
  readonly missingFrom: number | undefined;
  /** Offset of the first record that has not expired. Undefined when the topic has no such partition. */
  readonly first: number | undefined;
  /** End offset: the offset that the partition's next record gets. Undefined when the topic has no such partition. */
  readonly end: number | undefined;
}

/** The newest change that the capture is known to have read from DB1's log. */
interface CapturedFacts {
  readonly version: number;
  /** Whether DB1's log still has it. Undefined where the log does not go back that far. */
  readonly known: boolean | undefined;
}

/** Facts about the chain DB1 → Kafka → DB2. */
export interface Observation {
  readonly partitions: readonly PartitionFacts[];
  /** The last version that DB1 has drawn. */
  readonly sequence: number;
  readonly captured?: CapturedFacts | undefined;
}

/**
 * A gap in the chain DB1 → Kafka → DB2 that none of the parts notices by itself:
 * - `db1_lost_changes`: DB1 does not know a change that the capture has read from it. DB1 was restored, or is a standby that was promoted
 *   without its last changes.
 * - `foreign_records`: DB2 has applied a version that DB1 does not know, and DB1 knows what the capture has read: another program wrote
 *   to the topic.
 * - `db2_lost_changes`: the replica has read records that DB2 does not have, and the topic still had them. DB2 was restored.
 * - `topic_lost_records`: the topic was deleted, or dropped records before the replica had read them.
 */
export type ContinuityGap = 'db1_lost_changes' | 'foreign_records' | 'db2_lost_changes' | 'topic_lost_records';

/** Descriptions for the log. */
export const GAP_DESCRIPTIONS: Readonly<Record<ContinuityGap, string>> = {
  db1_lost_changes:
    'DB2 has changes that DB1 does not know: DB1 was restored to an earlier state, or is a standby that lost its last changes',
  foreign_records: 'DB2 has applied records that DB1 never wrote: another program writes to the topic',
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
 * Checks whether the chain DB1 → Kafka → DB2 is continuous, and advances the sequence of a DB1 that has lost changes above them.
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
  const { captured } = evidence;
  const gaps = findGaps(evidence);
  if (gaps.length === 0) return undefined;
  // Advance the sequence first: readers of the topic, and DB2's guard, drop what DB1 versions below the changes that it has lost. Only what
  // the capture has read from DB1 counts: a record that DB1 never wrote must not move the sequence.
  if (captured && hasLostChanges(evidence)) await advanceSequence(db1, captured.version, VERSION_MARGIN);
  // An empty DB2 lacks all rows: finding that out one by one takes longer than copying them.
  const kind = (await isReplicaEmpty(db2)) ? 'resync' : 'compare';
  return { kind, gaps, reason: gaps.join(', '), evidence };
}

/** Joins a run that had to wait for another one with what was found since. The newer evidence holds. */
export function joinRuns(waiting: RunForGaps | undefined, found: RunForGaps | undefined): RunForGaps | undefined {
  if (!waiting || !found) return found ?? waiting;
  const gaps = new Set([...waiting.gaps, ...found.gaps]);
  // Meanwhile the capture has read changes that DB1 knows, but DB2's unknown ones are still those that DB1 has lost.
  if (gaps.has('db1_lost_changes')) gaps.delete('foreign_records');
  return { ...found, gaps: [...gaps], reason: [...gaps].join(', ') };
}

/** Returns the gaps; none when every change of DB1 is in DB2 or on its way. */
export function findGaps(observation: Observation): ContinuityGap[] {
  const unknown = hasLostChanges(observation) ? 'db1_lost_changes' : 'foreign_records';
  const found = observation.partitions.flatMap((facts) => [
    ...(unknownVersions(facts, observation).length > 0 ? [unknown] : []),
    ...recordGapsOf(facts),
  ]);
  return [...new Set(hasLostChanges(observation) ? ['db1_lost_changes', ...found] : found)] as ContinuityGap[];
}

/** Whether a run that was opened for `evidence` also deals with the gaps that `observed` shows: each is the same one as then. */
export function coversGaps(evidence: Observation, observed: Observation): boolean {
  const keys = (observation: Observation): string[] => [
    ...(hasLostChanges(observation) ? [`lost ${observation.captured!.version}`] : []),
    ...observation.partitions.flatMap((facts) => [
      ...unknownVersions(facts, observation).map((version) => `unknown ${facts.partition} ${version}`),
      ...recordGapsOf(facts).map((gap) => `${gap} ${facts.partition} ${facts.version} ${facts.breaks} ${facts.applied}`),
    ]),
  ];
  const covered = new Set(keys(evidence));
  return keys(observed).every((key) => covered.has(key));
}

/** Whether DB1 does not know a change that the capture has read from its log. */
function hasLostChanges({ captured, sequence }: Observation): boolean {
  return captured !== undefined && isUnknown(captured, sequence);
}

/** Returns the gaps that a partition's offsets show. */
function recordGapsOf({ committed, applied, breaks, missingFrom, first, end }: PartitionFacts): ContinuityGap[] {
  const found: ContinuityGap[] = [];
  // Records that the replica skipped, and that the topic still has, were applied by a DB2 that was restored since.
  const topicHasSkipped = missingFrom !== undefined && missingFrom >= 0 && first !== undefined && missingFrom >= first;
  if ((committed !== undefined && committed > applied + 1) || (breaks > 0 && topicHasSkipped)) found.push('db2_lost_changes');
  if ((breaks > 0 && !topicHasSkipped) || (applied >= 0 && (end === undefined || applied >= end))) found.push('topic_lost_records');
  return found;
}

/** Returns the versions that DB2 has applied from a partition and that DB1 does not know. */
function unknownVersions(facts: PartitionFacts, { sequence }: Observation): number[] {
  return [...(isUnknown(facts, sequence) ? [facts.version] : []), ...facts.foreign];
}

function isUnknown({ version, known }: CapturedFacts, sequence: number): boolean {
  return version > sequence || known === false;
}

/** Partition number under which the captured change is looked up beside those of the partitions. */
const CAPTURED = -1;

/**
 * Reads the facts: a few small queries and two requests to Kafka. Changes that were applied lately and that DB1 has drawn are not looked at
 * again. Rejects with the error of a database or of Kafka.
 */
async function observeContinuity(db1: DataSource, db2: DataSource, kafka: KafkaSettings, timings: KafkaTimings): Promise<Observation> {
  const committed = await fetchCommittedOffsets(kafka, timings);
  const positions = await appliedPositions(db2, kafka.topic);
  const captured = await capturedChange(db2, kafka.topic);
  const known = await findKnownChanges(db1, [...positions, ...(captured ? [{ ...captured, partition: CAPTURED }] : [])]);
  const lately = await appliedLately(db2, kafka.topic);
  const foreign = await findNeverDrawn(db1, lately);
  await forgetLately(
    db2,
    kafka.topic,
    lately.filter((change) => !foreign.includes(change)),
  );
  const sequence = await lastDrawnVersion(db1);
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
      foreign: foreign.filter((change) => change.partition === partition).map(({ version }) => version),
      breaks: position?.breaks ?? 0,
      missingFrom: position?.missing_from ?? undefined,
      first: ends.get(partition)?.first,
      end: ends.get(partition)?.end,
    };
  });
  return { partitions, sequence, captured: captured && { version: captured.version, known: known.get(CAPTURED) } };
}

/**
 * Forgets the versions that a run deals with, before it begins: a version that would stay the highest of its partition hides later ones that
 * DB1 does not know either. The newest change of the log takes its place.
 */
export async function forgetUnknownVersions(
  db1: DataSource,
  db2: DataSource,
  { topic }: KafkaSettings,
  evidence: Observation,
): Promise<void> {
  const { partitions, sequence, captured } = evidence;
  const unknown = partitions.filter((facts) => isUnknown(facts, sequence)).map(({ partition, version }) => ({ partition, version }));
  if (unknown.length > 0) {
    await replaceHighest(db2, topic, unknown, (await highestLoggedChange(db1)) ?? { version: 0, version_time: null });
  }
  const foreign = partitions.flatMap(({ partition, foreign: versions }) => versions.map((version) => ({ partition, version })));
  await forgetLately(db2, topic, foreign);
  if (captured && hasLostChanges(evidence)) await forgetCapturedChange(db2, topic, captured.version);
}

/**
 * Clears the gaps that a run has dealt with. Gaps that were found since stay: the count of breaks is only reduced, and a position that
 * has advanced is left as it is.
 */
export async function clearGaps(db2: DataSource, { topic }: KafkaSettings, { partitions }: Observation): Promise<void> {
  const corrections = partitions.map((facts) => ({
    partition: facts.partition,
    breaks: facts.breaks,
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

/** What is known of one partition of the topic, read in this order: committed, DB2, DB1, end. Each may have moved on since. */
export interface PartitionFacts {
  readonly partition: number;
  /** What the replica's group committed to Kafka: the next offset it wants. */
  readonly committed: number | undefined;
  /** Offset of the last record that DB2 has; -1 when it has none. */
  readonly applied: number;
  /** The highest version that DB2 has of this partition; 0 when none. */
  readonly version: number;
  /** Whether DB1's log has the change of that version. Undefined where it does not go back that far. */
  readonly known: boolean | undefined;
  /** How often the replica got records that did not follow those before. */
  readonly breaks: number;
  /** The offset that the partition's next record gets. Undefined when the topic has no such partition. */
  readonly end: number | undefined;
}

/**
 * Ways in which the chain DB1 → Kafka → DB2 was broken, behind the back of all who took part:
 * - `db1_lost_changes`: DB2 has changes that DB1 does not know. DB1 was restored, or is a standby that was promoted without its tail.
 * - `db2_lost_changes`: Kafka was told that DB2 has records that it has not. DB2 was restored.
 * - `topic_lost_records`: the topic was deleted, or dropped records before the replica had read them.
 */
export type ChainBreak = 'db1_lost_changes' | 'db2_lost_changes' | 'topic_lost_records';

/** `sequence`: the last version that DB1 has drawn. An empty answer: every change of DB1 is in DB2 or on its way. */
export function findBreaks(partitions: readonly PartitionFacts[], sequence: number): ChainBreak[] {
  const found = new Set<ChainBreak>();
  for (const { committed, applied, version, known, breaks, end } of partitions) {
    if (isUnknown({ version, known }, sequence)) found.add('db1_lost_changes');
    if (committed !== undefined && committed > applied + 1) found.add('db2_lost_changes');
    if (breaks > 0 || (applied >= 0 && (end === undefined || applied >= end))) found.add('topic_lost_records');
  }
  return [...found];
}

/** Whether DB1 does not know the change that DB2 has. */
export function isUnknown({ version, known }: Pick<PartitionFacts, 'version' | 'known'>, sequence: number): boolean {
  return version > sequence || known === false;
}

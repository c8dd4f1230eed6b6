import type { DataSource } from 'typeorm';
import type { KafkaSettings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';

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
export type ContinuityGap = 'db1_lost_changes' | 'db2_lost_changes' | 'topic_lost_records';

/** `sequence`: the last version that DB1 has drawn. An empty answer: every change of DB1 is in DB2 or on its way. */
export function findGaps(partitions: readonly PartitionFacts[], sequence: number): ContinuityGap[] {
  const found = new Set<ContinuityGap>();
  for (const { committed, applied, version, known, breaks, end } of partitions) {
    if (isUnknown({ version, known }, sequence)) found.add('db1_lost_changes');
    if (committed !== undefined && committed > applied + 1) found.add('db2_lost_changes');
    if (breaks > 0 || (applied >= 0 && (end === undefined || applied >= end))) found.add('topic_lost_records');
  }
  return [...found];
}

/** Whether DB1 does not know the change that DB2 has. */
function isUnknown({ version, known }: Pick<PartitionFacts, 'version' | 'known'>, sequence: number): boolean {
  return version > sequence || known === false;
}

export interface Observation {
  readonly partitions: readonly PartitionFacts[];
  /** The last version that DB1 has drawn. */
  readonly sequence: number;
}

interface Position {
  readonly partition: number;
  readonly offset: number;
  readonly version: number;
  readonly version_time: string | null;
  readonly breaks: number;
}

/** Not known, though the log goes back that far: months are dropped whole (log-partitions.ts). */
const KNOWN = `
SELECT p.partition, CASE
    WHEN EXISTS (SELECT FROM subscription_changes c WHERE c.version = p.version AND c.occurred_at = p.version_time) THEN true
    WHEN p.version_time >= (SELECT date_trunc('month', occurred_at) FROM subscription_changes ORDER BY version LIMIT 1) THEN false
  END AS known
FROM json_to_recordset($1) AS p(partition integer, version bigint, version_time timestamptz)`;

const SEQUENCE = 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS value FROM subscription_version';

/** Rejects with what a database or Kafka answers. Costs three small queries and two looks at Kafka. */
export async function observeContinuity(db1: DataSource, db2: DataSource, kafka: KafkaSettings): Promise<Observation> {
  const committed = await fetchCommittedOffsets(kafka);
  const positions = await db2.query<Position[]>(
    `SELECT partition, "offset", version, to_json(version_time) #>> '{}' AS version_time, breaks FROM replica_positions WHERE topic = $1`,
    [kafka.topic],
  );
  const known = await db1.query<{ partition: number; known: boolean | null }[]>(KNOWN, [JSON.stringify(positions)]);
  const [sequence] = await db1.query<[{ value: number }]>(SEQUENCE);
  const ends = await fetchTopicOffsets(kafka);
  const knownIn = new Map(known.map((row) => [row.partition, row.known ?? undefined]));
  const byPartition = new Map(positions.map((position) => [position.partition, position]));
  const partitions = [...new Set([...byPartition.keys(), ...ends.keys()])].map((partition): PartitionFacts => {
    const position = byPartition.get(partition);
    return {
      partition,
      committed: committed.get(partition),
      applied: position?.offset ?? -1,
      version: position?.version ?? 0,
      known: knownIn.get(partition),
      breaks: position?.breaks ?? 0,
      end: ends.get(partition)?.end,
    };
  });
  return { partitions, sequence: sequence.value };
}

/**
 * Takes back the evidence of broken chains that a pass has dealt with. What came since stays: breaks are counted on, and a position
 * that has moved speaks for itself.
 */
export async function clearGaps(db2: DataSource, { topic }: KafkaSettings, { partitions, sequence }: Observation): Promise<void> {
  await db2.transaction(async (manager) => {
    for (const facts of partitions) {
      await manager.query(
        `UPDATE replica_positions SET breaks = breaks - $3, version = CASE WHEN version = $4 THEN 0 ELSE version END,
           "offset" = CASE WHEN "offset" = $5 THEN $6 ELSE "offset" END
         WHERE topic = $1 AND partition = $2`,
        [topic, facts.partition, facts.breaks, isUnknown(facts, sequence) ? facts.version : -1, facts.applied, honestOffset(facts)],
      );
    }
  });
}

/** The topic's end where the position is beyond it, and Kafka's committed offset where the position is before that. */
function honestOffset({ applied, committed, end }: PartitionFacts): number {
  if (end === undefined || applied >= end) return (end ?? 0) - 1;
  return Math.max(applied, (committed ?? 0) - 1);
}

import type { KafkaSettings } from '#config';
import { fetchCommittedOffsets, fetchTopicOffsets } from '#kafka';
import type { DataSource } from 'typeorm';
import type { PartitionFacts } from './continuity.js';

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
export async function observe(db1: DataSource, db2: DataSource, kafka: KafkaSettings): Promise<Observation> {
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

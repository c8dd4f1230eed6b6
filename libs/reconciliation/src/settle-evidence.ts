import type { KafkaSettings } from '#config';
import type { DataSource } from 'typeorm';
import { isUnknown, type PartitionFacts } from './continuity.js';
import type { Observation } from './observe-continuity.js';

/**
 * Takes back the evidence of broken chains that a pass has dealt with. What came since stays: breaks are counted on, and a position
 * that has moved speaks for itself.
 */
export async function settleEvidence(db2: DataSource, { topic }: KafkaSettings, { partitions, sequence }: Observation): Promise<void> {
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

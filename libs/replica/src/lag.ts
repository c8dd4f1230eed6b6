import type { KafkaSettings } from '#config';
import { fetchTopicOffsets } from '#kafka';
import type { Database } from '#postgres';

/**
 * Records of each partition that are not applied to DB2 yet: what the topic holds beyond the position stored in DB2. Records that
 * expired are none, and those before `readTo`, by partition, neither: nothing of them reaches a handler.
 * @throws what the driver throws when DB2 or Kafka does not answer.
 */
export async function countWaiting(
  db2: Database,
  kafka: KafkaSettings,
  readTo: ReadonlyMap<number, number> = new Map(),
): Promise<Map<number, number>> {
  const [offsets, positions] = await Promise.all([
    fetchTopicOffsets(kafka),
    db2.dataSource.query<{ partition: number; offset: number }[]>('SELECT partition, "offset" FROM replica_positions WHERE topic = $1', [
      kafka.topic,
    ]),
  ]);
  const applied = new Map(positions.map(({ partition, offset }) => [partition, offset + 1]));
  const waiting = new Map<number, number>();
  for (const [partition, { first, end }] of offsets) {
    waiting.set(partition, Math.max(0, end - Math.max(applied.get(partition) ?? 0, readTo.get(partition) ?? 0, first)));
  }
  return waiting;
}

import type { World } from './world.js';
import { eventually } from './eventually.js';

/** Records that the replica has dealt with, over all partitions. */
export async function appliedRecords(world: World): Promise<number> {
  const { rows } = await world.db2.query<{ count: string }>(`SELECT coalesce(sum("offset" + 1), 0) AS count FROM replica_positions`);
  return Number(rows[0]!.count);
}

/** Records on the topic. */
export async function publishedRecords(world: World): Promise<number> {
  const admin = world.kafka.admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(world.topic);
    return offsets.reduce((sum, { high }) => sum + Number(high), 0);
  } finally {
    await admin.disconnect();
  }
}

/** How fast `count` reaches `target`, per second. */
export async function rateUntil(count: () => Promise<number>, target: number, withinMs: number): Promise<number> {
  // A broker that has just come back may not lead its partitions yet.
  const first = await eventually(count);
  const started = performance.now();
  await eventually(async () => (await count()) >= target, withinMs);
  return Math.round(((target - first) / (performance.now() - started)) * 1_000);
}

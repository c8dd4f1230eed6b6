import type { Query } from '#postgres';

/** How far DB2 has applied a topic. */
export interface ReplicaStatus {
  /** By partition, the offset of the last record that was applied. */
  readonly applied: readonly { readonly partition: number; readonly offset: number }[];
  /** Number of dead letters that are open, also by the class of their error. */
  readonly dead_letters: { readonly open: number; readonly by_class: Readonly<Record<string, number>> };
}

/** Reads how far DB2 has applied a topic. */
export async function readReplicaStatus(query: Query, topic: string): Promise<ReplicaStatus> {
  const applied = await query<{ partition: number; offset: number }>(
    'SELECT partition, "offset" FROM subscription_sync.positions WHERE topic = $1 ORDER BY partition',
    [topic],
  );
  const letters = await query<{ error_class: string; open: number }>(
    `SELECT error_class, count(*)::int AS open FROM subscription_sync.dead_letters WHERE state = 'open' GROUP BY error_class ORDER BY 1`,
  );
  return {
    applied,
    dead_letters: {
      open: letters.reduce((sum, { open }) => sum + open, 0),
      by_class: Object.fromEntries(letters.map(({ error_class, open }) => [error_class, open])),
    },
  };
}

/** Offsets of a partition's first record that has not expired, and of the record that comes next. */
interface PartitionOffsets {
  readonly first: number;
  readonly end: number;
}

/** Records of a partition that are not yet applied to DB2. */
export interface Waiting {
  readonly count: number;
  /** Offset of the first of them. */
  readonly from: number;
}

/**
 * Finds, per partition, the records of a topic beyond the position stored in DB2. Expired records do not count, nor do those before
 * `skippedTo`, which never reach a handler.
 */
export function findBeyond(
  offsets: ReadonlyMap<number, PartitionOffsets>,
  positions: ReplicaStatus['applied'],
  skippedTo: ReadonlyMap<number, number> = new Map(),
): Map<number, Waiting> {
  const applied = new Map(positions.map(({ partition, offset }) => [partition, offset + 1]));
  const waiting = new Map<number, Waiting>();
  for (const [partition, { first, end }] of offsets) {
    const from = Math.max(applied.get(partition) ?? 0, skippedTo.get(partition) ?? 0, first);
    waiting.set(partition, { count: Math.max(0, end - from), from });
  }
  return waiting;
}

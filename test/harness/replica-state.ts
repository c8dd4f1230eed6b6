import { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS } from '#config';
import { decodeEvent, type ReceivedEvent } from '#events';
import { Database, db2ConnectionOptions } from '#postgres';
import { recordOf, type TestChange } from './history.js';
import type { World } from './world.js';

/** Opens a world's Database 2 as the replica does. The caller destroys its data source. */
export async function openDb2(world: World): Promise<Database> {
  const options = db2ConnectionOptions({ ...world.addresses.db2, database: world.name, poolSize: 6 });
  const db2 = new Database('db2', new DataSource(options), DEFAULT_TIMINGS.postgres);
  db2.start();
  await db2.ready;
  return db2;
}

/** Returns a change as the replica reads it. */
export function eventOf(change: TestChange): ReceivedEvent {
  const { key, value } = recordOf(change, 0);
  return decodeEvent(key, value);
}

/** What DB2 has of an email. */
export interface ReplicaState {
  readonly status: string | null;
  readonly version: number | null;
  readonly deleted: boolean;
}

export async function replicaStateOf(world: World, email: string): Promise<ReplicaState> {
  const { rows } = await world.db2.query<ReplicaState>(
    `SELECT s.status, a.version, a.deleted_at IS NOT NULL AS deleted FROM (VALUES ($1)) e(email)
     LEFT JOIN subscription_sync.applied a ON a.email = e.email LEFT JOIN subscriptions s ON s.email = e.email`,
    [email],
  );
  return rows[0]!;
}

/** Returns the state after a change. */
export function stateAfter({ operation, status, version }: TestChange): ReplicaState {
  const deleted = operation === 'deleted';
  return { status: deleted ? null : status, version, deleted };
}

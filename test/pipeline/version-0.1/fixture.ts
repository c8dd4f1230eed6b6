import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Address } from '../../harness/addresses.js';
import { putOnTopic, type World } from '../../harness/world.js';

/**
 * Databases that version 0.1 filled and left, in this folder. `created`: it made the tables; `adopted`: they were an application's. In both,
 * some changes are on Kafka and not in DB2 yet, and later ones are in the log alone.
 */
export type Fixture = 'created' | 'adopted';

export async function load(world: World, fixture: Fixture): Promise<void> {
  for (const part of ['db1', 'db2'] as const) {
    const sql = readFileSync(join(import.meta.dirname, `${fixture}-${part}.sql`), 'utf8');
    await execute(world.addresses[part], world.name, sql.replaceAll(`'subscription-events'`, `'${world.topic}'`));
  }
  await world.db1.query(PASS_TRANSACTIONS_OF_FIXTURE);
}

/** pg_dump writes names with their schemas, and for an empty search_path. */
async function execute(address: Address, database: string, sql: string): Promise<void> {
  const client = new Client({ ...address, database, options: '-c search_path= -c check_function_bodies=off' });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Transactions of this server get higher numbers than those in the log, as on the server that wrote it. */
const PASS_TRANSACTIONS_OF_FIXTURE = `
DO $$ BEGIN
  WHILE pg_current_xact_id() <= (SELECT txid FROM subscription_changes ORDER BY txid DESC LIMIT 1) LOOP COMMIT; END LOOP;
END $$`;

/** A change of the log of version 0.1. */
export interface OldChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  readonly event: string;
  readonly published: boolean;
}

export async function oldChanges(world: World): Promise<OldChange[]> {
  const { rows } = await world.db1.query<OldChange>(`
    SELECT version::int, operation, email, event, pg_visible_in_snapshot(txid, published_snapshot) AS published
    FROM subscription_changes, sync_checkpoint ORDER BY version`);
  return rows;
}

/** Makes the topic as version 0.1 left it: the records where the positions of DB2 say they are, which the group has read up to there. */
export async function fillTopic(world: World, changes: readonly OldChange[]): Promise<void> {
  const admin = world.kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: world.topic, numPartitions: 6 }], waitForLeaders: true });
  const records = changes.filter(({ published }) => published).map(({ email, event }) => ({ key: email, value: event }));
  const applied = Math.max(...(await positions(world)).map(({ version }) => version));
  const waiting = changes.filter(({ published, version }) => published && version > applied).length;
  const poison = { key: 'poison@example.com', value: '{"not":"an event"}' };
  await putOnTopic(world, [...records.slice(0, -waiting), poison, ...records.slice(-waiting)]);
  const partitions = (await positions(world)).map(({ partition, offset }) => ({ partition, offset: String(offset + 1) }));
  await admin.setOffsets({ groupId: world.name, topic: world.topic, partitions });
  await admin.disconnect();
}

async function positions(world: World): Promise<{ partition: number; offset: number; version: number }[]> {
  const { rows } = await world.db2.query<{ partition: number; offset: number; version: number }>(
    'SELECT partition, "offset"::int, version::int FROM replica_positions',
  );
  return rows;
}

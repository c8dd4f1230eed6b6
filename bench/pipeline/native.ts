import { Client, Pool } from 'pg';
import type { EmbeddedPostgres } from '../../apps/standalone/src/postgres.js';
import type { Pipeline } from './workload.js';

/** The same columns, without the triggers. */
const TABLE = `
CREATE TABLE subscriptions (
  email text COLLATE "C" PRIMARY KEY,
  status text NOT NULL DEFAULT 'pending',
  plan text,
  access_until timestamptz,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
)`;
const NAME = 'native';

/** Prepares the peer: PostgreSQL's logical replication, directly from one server to the other, without Kafka, history or guard. */
export async function nativeReplication(part1: EmbeddedPostgres, part2: EmbeddedPostgres): Promise<Pipeline & { close(): Promise<void> }> {
  for (const part of [part1, part2]) {
    const admin = new Client({ ...part, database: 'postgres' });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${NAME}`);
    await admin.end();
  }
  const [db1, db2] = [new Pool({ ...part1, database: NAME, max: 2 }), new Pool({ ...part2, database: NAME, max: 2 })];
  await db1.query(TABLE);
  await db2.query(TABLE);
  await db1.query('CREATE PUBLICATION peer FOR TABLE subscriptions');
  await db1.query(`SELECT pg_create_logical_replication_slot('peer', 'pgoutput')`);
  const { host, port, user, password } = part1;
  return {
    db1,
    db2,
    // The slot exists before the rows, so they are streamed and not copied.
    start: async () => {
      await db2.query(
        `CREATE SUBSCRIPTION peer CONNECTION 'host=${host} port=${port} user=${user} password=${password} dbname=${NAME}'
         PUBLICATION peer WITH (create_slot = false, slot_name = 'peer', copy_data = false)`,
      );
    },
    close: async () => {
      await db2.query('DROP SUBSCRIPTION peer');
      await Promise.all([db1.end(), db2.end()]);
    },
  };
}

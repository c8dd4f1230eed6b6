import { Pool } from 'pg';
import { type Contender, createDatabases, dropDatabases, type Pipeline, type Stand } from '../pipeline.js';
import { SqlWriter } from '../sql-writer.js';

/** The table with the same columns and index as the service's, without its triggers. */
export const BARE_TABLE = `
CREATE TABLE subscriptions (
  email text COLLATE "C" PRIMARY KEY,
  status text NOT NULL DEFAULT 'pending',
  plan text,
  access_until timestamptz,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX subscriptions_by_status ON subscriptions (status, email)`;

/** PostgreSQL's logical replication, directly from one server to the other, without Kafka, history or guard. */
export function nativeReplication(rowBytes = 0): Contender {
  return {
    name: 'native',
    title: 'native logical replication (no Kafka)',
    share: 1,
    prepare: (name, stand) => prepare(name, stand, rowBytes),
  };
}

async function prepare(name: string, { servers, wires }: Stand, rowBytes: number): Promise<Pipeline> {
  const [db1, db2] = await createDatabases(name, servers);
  for (const database of [db1, db2]) await database.query(BARE_TABLE);
  await db1.query(`CREATE PUBLICATION ${name} FOR TABLE subscriptions`);
  await createSlot(db1, name);
  const writer = new SqlWriter(db1, rowBytes);
  const { host, port, user, password } = wires[0];
  return {
    db1,
    db2,
    writer,
    // The slot exists before the rows, so they are streamed and not copied.
    start: async () => {
      await db2.query(
        `CREATE SUBSCRIPTION ${name} CONNECTION 'host=${host} port=${port} user=${user} password=${password} dbname=${name} sslmode=disable'
         PUBLICATION ${name} WITH (create_slot = false, slot_name = '${name}', copy_data = false)`,
      );
    },
    processes: () => [],
    fill: async (rows) => {
      await Promise.all([new SqlWriter(db1).insert(1, rows), new SqlWriter(db2).insert(1, rows)]);
      await db1.query(`SELECT pg_drop_replication_slot('${name}')`);
      await createSlot(db1, name);
      await Promise.all([db1, db2].map((database) => database.query('VACUUM ANALYZE subscriptions')));
    },
    close: async () => {
      await writer.close();
      await db2.query(`DROP SUBSCRIPTION IF EXISTS ${name}`);
      await dropDatabases(name, [db1, db2], servers);
    },
  };
}

async function createSlot(db1: Pool, name: string): Promise<void> {
  await db1.query(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
}

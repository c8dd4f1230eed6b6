import { Kafka, logLevel } from 'kafkajs';
import { Client, Pool } from 'pg';
import type { Servers } from '../servers.js';

/** The servers of a run. */
export interface Stand {
  readonly servers: Servers;
  /** The same servers at the ports that pipelines use. They differ where a proxy counts the bytes. */
  readonly wires: Servers;
  readonly folder: string;
  /** Returns the bytes that proxies have counted so far, by wire: `from DB1`, `to DB1`. */
  readonly bytes: () => Readonly<Record<string, number>>;
  /** Settings with which the service uses TLS, where the servers offer it. */
  readonly tls: Readonly<Record<string, string>>;
}

/** Writes the rows of a workload. Row 7 has the email `user7@example.com`. */
export interface Writer {
  /** Inserts rows in one transaction, if the way of writing has transactions. */
  insert(from: number, to: number): Promise<void>;
  /** Sets the status of rows in one transaction, if the way of writing has transactions. */
  setStatus(from: number, to: number, status: string): Promise<void>;
  /** Sets the plan of one row. */
  setPlan(row: number, plan: string): Promise<void>;
  /** Sets the plan of these rows, which may repeat, one after another in one transaction, if the way of writing has transactions. */
  setPlans(rows: readonly number[], plan: string): Promise<void>;
}

/** Two databases that each have a table `subscriptions`. After `start`, changes flow from the first to the second. */
export interface Pipeline {
  readonly db1: Pool;
  readonly db2: Pool;
  readonly writer: Writer;
  /** Resolves when the pipeline is ready to carry changes, also those that were written before. */
  start(): Promise<void>;
  /** Pids of its own processes that run now, each with the name of its part. */
  processes(): readonly (readonly [part: string, pid: number])[];
  /** Writes rows to both databases past the pipeline, which has not started yet. Pipelines without it take no part where tables are large. */
  fill?(rows: number): Promise<void>;
  /** Ends the pipeline and removes its databases and topics. */
  close(): Promise<void>;
}

/** A way of keeping two databases equal that is measured. */
export interface Contender {
  readonly name: string;
  /** Its name in the report. */
  readonly title: string;
  /** Share of the changes of a workload that it gets, because it would take too long for all. */
  readonly share: number;
  /** Sets up a pipeline between two new databases of this name. @throws NotMeasured when this machine lacks what it needs. */
  prepare(database: string, stand: Stand): Promise<Pipeline>;
}

/** The reason why a contender cannot be measured here. The others are measured nevertheless. */
export class NotMeasured extends Error {}

/** Application name of the benchmark's own sessions, which do not count as the pipeline's. */
export const BENCH = 'bench';

/** Creates a database on both servers. Returns the benchmark's connections to them. */
export async function createDatabases(name: string, servers: Servers): Promise<readonly [db1: Pool, db2: Pool]> {
  const open = async ({ host, port, user, password }: Servers[0]): Promise<Pool> => {
    await administer(port, user, password, [`CREATE DATABASE ${name}`]);
    return new Pool({ host, port, user, password, database: name, max: 2, idleTimeoutMillis: 0, application_name: BENCH });
  };
  return [await open(servers[0]), await open(servers[1])];
}

/** Closes the benchmark's connections and drops the databases with their replication slots, which would keep the write-ahead log. */
export async function dropDatabases(name: string, [db1, db2]: readonly [Pool, Pool], servers: Servers): Promise<void> {
  await Promise.all([db1.end(), db2.end()]);
  for (const { port, user, password } of [servers[0], servers[1]]) {
    await administer(port, user, password, [
      `SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE database = '${name}' AND active`,
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${name}'`,
      `DROP DATABASE ${name} WITH (FORCE)`,
    ]);
  }
}

async function administer(port: number, user: string, password: string, statements: readonly string[]): Promise<void> {
  const admin = new Client({ host: '127.0.0.1', port, user, password, database: 'postgres', application_name: BENCH });
  await admin.connect();
  try {
    for (const statement of statements) await admin.query(statement);
  } finally {
    await admin.end();
  }
}

/** Calls `use` with an admin client of Kafka. */
export async function withKafkaAdmin<T>(server: string, use: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [server], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Deletes the topics whose names begin with `prefix`. */
export async function deleteTopics(server: string, prefix: string): Promise<void> {
  await withKafkaAdmin(server, async (admin) => {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
  });
}

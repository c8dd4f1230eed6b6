import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { packageRoot, SupervisedProcess } from '../../../apps/standalone/src/child-process.js';
import { findJava } from '../../../apps/standalone/src/kafka.js';
import { fetchJars } from '../../../apps/standalone/src/maven.js';
import { pickFreePort } from '../../../apps/standalone/src/plan.js';
import { eventually } from '../../../test/harness/eventually.js';
import { BARE_TABLE } from './native.js';
import {
  type Contender,
  createDatabases,
  deleteTopics,
  dropDatabases,
  NotMeasured,
  type Pipeline,
  type Stand,
  withKafkaAdmin,
} from '../pipeline.js';
import { PARTITIONS } from '../service-pipeline.js';
import { SqlWriter } from '../sql-writer.js';

/** Grace period (ms) for the worker's shutdown, in which it stores the source's position. */
const GRACE_MS = 30_000;
/** Timeout (ms) for the start of the worker and its connectors. */
const START_TIMEOUT_MS = 120_000;

/** Debezium's source for PostgreSQL and its JDBC sink in one standalone worker of Kafka Connect, tuned as its documentation says. */
export const debezium: Contender = {
  name: 'debezium',
  title: 'Debezium source and JDBC sink',
  share: 1,
  prepare: async (name, stand) => {
    const worker = new ConnectWorker(name, stand, await fetchConnect());
    return preparePipeline(name, stand, worker);
  },
};

/**
 * The source begins after the position that it stored when it last ended. So that it has stored one, it starts once with a row in the table and ends.
 * Otherwise it would copy the rows written beforehand instead of reading their changes.
 */
async function preparePipeline(name: string, { servers, wires }: Stand, worker: ConnectWorker): Promise<Pipeline> {
  const [db1, db2] = await createDatabases(name, servers);
  const writer = new SqlWriter(db1);
  const pipeline: Pipeline = {
    db1,
    db2,
    writer,
    start: () => worker.start(),
    processes: () => (worker.pid === undefined ? [] : [['Kafka Connect', worker.pid]]),
    close: async () => {
      await worker.stop();
      await writer.close();
      await dropDatabases(name, [db1, db2], servers);
      await deleteTopics(servers[2].server, name);
    },
  };
  try {
    for (const database of [db1, db2]) await database.query(BARE_TABLE);
    await db1.query(`CREATE PUBLICATION ${name} FOR TABLE subscriptions`);
    await withKafkaAdmin(wires[2].server, (admin) =>
      admin.createTopics({ topics: [{ topic: topicOf(name), numPartitions: PARTITIONS, replicationFactor: 1 }], waitForLeaders: true }),
    );
    await db1.query(`INSERT INTO subscriptions (email) VALUES ('first@example.com')`);
    await worker.start();
    await eventually(async () => (await db2.query('SELECT FROM subscriptions')).rowCount === 1);
    await worker.stop();
    return pipeline;
  } catch (error) {
    await pipeline.close();
    throw error;
  }
}

function topicOf(name: string): string {
  return `${name}.public.subscriptions`;
}

interface ConnectFiles {
  readonly java: string;
  /** Jars of the worker. */
  readonly worker: string;
  /** Folder with a folder for each connector. */
  readonly plugins: string;
}

/** Fetches Kafka Connect and the connectors the first time (115 jars), to the user's cache. */
async function fetchConnect(): Promise<ConnectFiles> {
  const recipe = join(packageRoot(), 'bench/pipeline/contenders/debezium');
  const pom = join(recipe, 'pom.xml');
  const fingerprint = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  const cache = join(homedir(), '.cache/subscription-sync/debezium', fingerprint);
  const plugins = join(cache, 'plugins');
  const folders = { worker: join(cache, 'worker'), source: join(plugins, 'source'), sink: join(plugins, 'sink') };
  for (const [profile, folder] of Object.entries(folders)) {
    if (existsSync(folder)) continue;
    const failure = await fetchJars(pom, folder, ['-P', profile, '-gs', join(recipe, 'settings.xml')]);
    if (failure !== undefined) throw new NotMeasured(`Maven fetched no Debezium: ${failure.reason ?? 'there is no working "mvn" in PATH'}`);
  }
  // The connectors must use the worker's Jackson: two versions of its classes do not understand each other.
  for (const folder of [folders.source, folders.sink])
    for (const jar of readdirSync(folder)) if (jar.startsWith('jackson-')) rmSync(join(folder, jar), { force: true });
  return { java: await findJava(), worker: folders.worker, plugins };
}

/** A process of Kafka Connect with both connectors. It may be started again after it was stopped. */
class ConnectWorker {
  private readonly folder: string;
  private process: SupervisedProcess | undefined;

  constructor(
    private readonly name: string,
    private readonly stand: Stand,
    private readonly files: ConnectFiles,
  ) {
    this.folder = join(stand.folder, name);
    mkdirSync(this.folder, { recursive: true });
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** Resolves when both connectors and all their tasks run. */
  async start(): Promise<void> {
    const port = await pickFreePort();
    const { java, worker } = this.files;
    // The sink comes before the source, as in the service: the first row must not arrive when all changes are in Kafka.
    const configurations = Object.entries(this.configurations(port)).map(([file, settings]) => {
      const path = join(this.folder, `${file}.properties`);
      writeFileSync(
        path,
        Object.entries(settings)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(''),
        { mode: 0o600 },
      );
      return path;
    });
    const logFile = join(this.folder, 'connect.log');
    const main = 'org.apache.kafka.connect.cli.ConnectStandalone';
    const supervised = new SupervisedProcess({
      command: java,
      args: ['-Xmx2g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(worker, '*'), main, ...configurations],
      logFile,
      pidFile: join(this.folder, 'connect.pid'),
      stopSignal: 'SIGTERM',
      killSignal: 'SIGKILL',
      graceMs: GRACE_MS,
    });
    this.process = supervised;
    const ended = supervised.exited.then((how) => {
      throw new Error(`Kafka Connect ${how}: ${supervised.lastLogLine(/(ERROR|Exception|Error:).*/)}`);
    });
    // It ends later, too, when it is stopped.
    ended.catch(() => undefined);
    for (const connector of ['sink', 'source']) await Promise.race([eventually(() => isRunning(port, connector), START_TIMEOUT_MS), ended]);
  }

  async stop(): Promise<void> {
    await this.process?.stop();
    this.process = undefined;
  }

  private configurations(port: number): Readonly<Record<'worker' | 'sink' | 'source', Readonly<Record<string, string | number>>>> {
    const [db1, db2, kafka] = this.stand.wires;
    return {
      worker: {
        'bootstrap.servers': kafka.server,
        listeners: `http://127.0.0.1:${port}`,
        'plugin.path': this.files.plugins,
        'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'offset.storage.file.filename': join(this.folder, 'offsets'),
        'offset.flush.interval.ms': 1_000,
      },
      sink: {
        name: 'sink',
        'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
        topics: topicOf(this.name),
        'connection.url': `jdbc:postgresql://${db2.host}:${db2.port}/${this.name}?reWriteBatchedInserts=true`,
        'connection.username': db2.user,
        'connection.password': db2.password,
        'insert.mode': 'upsert',
        'delete.enabled': 'true',
        'primary.key.mode': 'record_key',
        'schema.evolution': 'none',
        'collection.name.format': 'subscriptions',
        'batch.size': 2_000,
        'use.reduction.buffer': 'true',
        // The default of 500 records a poll would keep batches smaller than batch.size.
        'consumer.override.max.poll.records': 4_096,
      },
      source: {
        name: 'source',
        'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
        'database.hostname': db1.host,
        'database.port': db1.port,
        'database.user': db1.user,
        'database.password': db1.password,
        'database.dbname': this.name,
        'topic.prefix': this.name,
        'table.include.list': 'public.subscriptions',
        'plugin.name': 'pgoutput',
        'publication.name': this.name,
        'publication.autocreate.mode': 'disabled',
        'slot.name': this.name,
        'poll.interval.ms': 5,
        'max.batch.size': 4_096,
        'max.queue.size': 16_384,
      },
    };
  }
}

interface Status {
  readonly connector: { readonly state: string };
  readonly tasks: readonly { readonly state: string; readonly trace?: string }[];
}

/** @throws Error when a task has failed. */
async function isRunning(port: number, connector: string): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/connectors/${connector}/status`).catch(() => undefined);
  if (response?.ok !== true) return false;
  const { connector: own, tasks } = (await response.json()) as Status;
  const failed = tasks.find(({ state }) => state === 'FAILED');
  if (failed) throw new Error(`The ${connector} failed: ${failed.trace}`);
  return own.state === 'RUNNING' && tasks.length > 0 && tasks.every(({ state }) => state === 'RUNNING');
}

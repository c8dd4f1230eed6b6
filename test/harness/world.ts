import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Kafka, logLevel, type Message, Partitioners } from 'kafkajs';
import { Pool } from 'pg';
import { DEFAULT_TIMINGS, readEnvironment, readSettings, type Role, type Timings } from '#config';
import type { RunningServer } from '../../apps/server/src/index.js';
import { eventually, readinessOf } from './eventually.js';
import { type PartAddresses, runOn, sharedParts, TEMPLATES } from './addresses.js';
import { TEST_TIMINGS, TIMINGS_VARIABLE } from './timings.js';

export interface WorldOptions {
  readonly capture?: 'auto' | 'wal' | 'poll';
  /** The roles of each process-like server; one with all by default. */
  readonly servers?: readonly (readonly Role[])[];
  /** More of the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Sections that replace those of TEST_TIMINGS. With DEFAULT_TIMINGS, server processes run `main.js`. */
  readonly timings?: Partial<Timings>;
  /** Other parts than those that all tests share. */
  readonly parts?: PartAddresses;
  /** Empty databases instead of migrated ones: the server is to migrate them. */
  readonly unmigrated?: boolean;
}

const CLOSED_WITHIN_MS = 10_000;
let server: Promise<typeof import('../../apps/server/src/index.js')> | undefined;

/** A second of work, which many a test can do without. Once: Jest refuses it to a test that runs beside others and begins after one of them. */
function loadServer(): Promise<typeof import('../../apps/server/src/index.js')> {
  return (server ??= import('../../apps/server/src/index.js'));
}

/** The shared world of this worker. global-teardown.ts closes it where the specs run in Jest's own process. */
const SHARED = Symbol.for('subscription-sync-shared-world');
const worker = globalThis as { [SHARED]?: Promise<World> };

const UTC = { options: '-c TimeZone=UTC' };

/** Two databases, a topic and a consumer group of a test's own, and the servers that it starts on them. */
export class World {
  readonly topic: string;
  readonly db1: Pool;
  readonly db2: Pool;
  private running: RunningServer[] = [];
  /** Tables of Database 1 that {@link reset} empties. Undefined for a world that one test or file has for itself. */
  private sharedTables: string | undefined;

  private constructor(
    readonly name: string,
    readonly addresses: PartAddresses,
    private readonly options: WorldOptions,
  ) {
    this.topic = name;
    this.db1 = quietPool({ ...addresses.db1, ...UTC, database: name, application_name: 'other-program', max: 20 });
    this.db2 = quietPool({ ...addresses.db2, ...UTC, database: name, application_name: 'test', max: 5 });
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    const addresses = options.parts ?? sharedParts();
    const name = `t_${randomBytes(6).toString('hex')}`;
    const template = (part: 'db1' | 'db2'): string => (options.unmigrated ? 'template1' : TEMPLATES[part]);
    // Not through the WAL, which all slots of the server have to read: a third of the time.
    const create = (part: 'db1' | 'db2'): Promise<void> =>
      runOn(addresses[part], `CREATE DATABASE ${name} TEMPLATE ${template(part)} STRATEGY file_copy`);
    await Promise.all([create('db1'), create('db2')]);
    return new World(name, addresses, options);
  }

  /** A world whose servers run and whose dependencies are all up. */
  static async started(options: WorldOptions = {}): Promise<World> {
    const world = await World.create(options);
    await world.start();
    await world.ready();
    return world;
  }

  /**
   * The world of all specs of this worker that need no more than an api process without further settings: started once, and emptied for
   * each file. `close` leaves it running.
   */
  static async shared(): Promise<World> {
    const world = await (worker[SHARED] ??= World.startShared());
    await world.reset();
    return world;
  }

  private static async startShared(): Promise<World> {
    const world = await World.create({ servers: [['api']] });
    const { rows } = await world.db1.query<{ name: string }>(
      `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace`,
    );
    const empty = await Promise.all(rows.map(async ({ name }) => (await world.db1.query(`SELECT FROM ${name} LIMIT 1`)).rowCount === 0));
    world.sharedTables = rows
      .filter((_, index) => empty[index])
      .map(({ name }) => name)
      .join(', ');
    await world.start();
    await world.ready();
    return world;
  }

  /** Empties the tables that a migrated database has empty, without the triggers that log or refuse it. */
  private async reset(): Promise<void> {
    const client = await this.db1.connect();
    try {
      await client.query(`BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE ${this.sharedTables}; COMMIT`);
    } finally {
      client.release();
    }
  }

  /** For tests that run side by side: none of them has the others' world. */
  static async lend(work: (world: World) => Promise<void>, options: WorldOptions = {}): Promise<void> {
    const world = await World.create(options);
    await work(world).finally(() => world.close());
  }

  /** Other servers on the same databases and topic, started and stopped apart. `close` is the first one's. */
  beside(options: WorldOptions): World {
    return new World(this.name, this.addresses, options);
  }

  /** Where the api role listens. */
  get url(): string {
    return this.running[0]!.url;
  }

  /** A client of the world's Kafka, for a test or for a program that is not ours. */
  get kafka(): Kafka {
    return new Kafka({ clientId: 'test', brokers: [this.addresses.kafka], logLevel: logLevel.NOTHING });
  }

  get timings(): Timings {
    return this.options.timings === DEFAULT_TIMINGS ? DEFAULT_TIMINGS : { ...TEST_TIMINGS, ...this.options.timings };
  }

  get urls(): string[] {
    return this.running.map(({ url }) => url);
  }

  /** The variables that a server of this world is started with. */
  environment(roles?: readonly Role[]): Record<string, string> {
    const database = (prefix: 'DB1' | 'DB2'): Record<string, string> => {
      const { host, port, user, password } = this.addresses[prefix === 'DB1' ? 'db1' : 'db2'];
      return {
        [`${prefix}_HOST`]: host,
        [`${prefix}_PORT`]: String(port),
        [`${prefix}_USER`]: user,
        [`${prefix}_PASSWORD`]: password,
        [`${prefix}_DATABASE`]: this.name,
      };
    };
    return {
      ...database('DB1'),
      ...database('DB2'),
      KAFKA_SERVER: this.addresses.kafka,
      KAFKA_TOPIC: this.topic,
      KAFKA_GROUP_ID: this.name,
      KAFKA_PARTITIONS: '3',
      KAFKA_SESSION_TIMEOUT_MS: '6000',
      PORT: '0',
      SHUTDOWN_DELAY_MS: '0',
      LOG_LEVEL: readEnvironment()['TEST_LOG_LEVEL'] ?? 'silent',
      // Whoever tests it says when.
      RECONCILE_INTERVAL: '0',
      CANARY_INTERVAL: '0',
      CAPTURE: this.options.capture ?? 'auto',
      CAPTURE_SLOT: this.name,
      ROLES: roles?.join(',') ?? '',
      ...(this.timings === DEFAULT_TIMINGS ? {} : { [TIMINGS_VARIABLE]: JSON.stringify(this.timings) }),
      ...this.options.env,
    };
  }

  async start(): Promise<void> {
    const { startServer } = await loadServer();
    for (const roles of this.options.servers ?? [undefined]) {
      this.running.push(await startServer(readSettings(this.environment(roles)), this.timings));
    }
  }

  /** Resolves when every check of every server is up, and the capture runs. */
  async ready(): Promise<void> {
    for (const { url } of this.running) {
      await eventually(async () => (await readinessOf(url)).status === 'ok');
    }
  }

  /** Resolves when a session of a server waits for a lock in DB1. */
  async waitForLock(): Promise<void> {
    await eventually(async () => (await lockWaits(this.db1, this.name)).length > 0);
  }

  async stop(): Promise<void> {
    const servers = this.running;
    this.running = [];
    await Promise.all(servers.map((server) => server.stop()));
  }

  /** Stops the servers and drops everything. Fails when a server left a connection or a temporary slot's reader behind. */
  async close(): Promise<void> {
    if (this.sharedTables !== undefined) return;
    await this.stop();
    try {
      await this.expectNoConnections();
    } finally {
      await this.drop();
    }
  }

  /** Whatever a failed test left behind: no slot is made on a server while a transaction of any database is open. */
  private async drop(): Promise<void> {
    const end = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${this.name}'`;
    await Promise.all([runOn(this.addresses.db1, end), runOn(this.addresses.db2, end)]);
    await runOn(this.addresses.db1, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${this.name}'`);
    await Promise.all([
      runOn(this.addresses.db1, `DROP DATABASE ${this.name} WITH (FORCE)`),
      runOn(this.addresses.db2, `DROP DATABASE ${this.name} WITH (FORCE)`),
      this.dropTopic(),
    ]);
    // Not awaited: their sessions are over, and a client that a failed test did not give back would be waited for for ever.
    void Promise.all([this.db1.end(), this.db2.end()]);
  }

  private async expectNoConnections(): Promise<void> {
    for (const pool of [this.db1, this.db2]) {
      await eventually(async () => {
        const { rows } = await pool.query<{ name: string }>(
          `SELECT application_name AS name FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'subscription-sync%'`,
          [this.name],
        );
        if (rows.length > 0) throw new Error(`Connections left behind: ${rows.map(({ name }) => name).join(', ')}`);
        return true;
      }, CLOSED_WITHIN_MS);
    }
  }

  private async dropTopic(): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    if ((await admin.listTopics()).includes(this.topic)) await admin.deleteTopics({ topics: [this.topic] });
    await admin.disconnect();
  }
}

/** A pool that does not end the process when a server goes away: tests take servers away. */
function quietPool(config: ConstructorParameters<typeof Pool>[0]): Pool {
  return new Pool(config).on('error', () => undefined);
}

/** The sessions of servers that wait for a lock in a database: their process ids. */
export async function lockWaits(pool: Pool, database: string): Promise<number[]> {
  const { rows } = await pool.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND application_name LIKE 'subscription-sync%'`,
    [database],
  );
  return rows.map(({ pid }) => pid);
}

/**
 * Resolves when the slot of the world is made and read. PostgreSQL makes it when the transactions of all databases that were open are
 * over, those of other tests too; until then it is active as well, and gone with who asked for it, or a moment later.
 */
export async function slotIsRead({ db1, name }: World): Promise<void> {
  const read = 'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NOT NULL';
  await eventually(async () => (await db1.query(read, [name])).rowCount === 1);
}

/** Ends whoever reads the slot, and takes it away before it is back. */
export async function dropSlot({ db1, name }: World): Promise<void> {
  await eventually(async () => {
    await db1.query('SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1', [name]);
    await db1.query('SELECT pg_drop_replication_slot($1)', [name]);
    return true;
  });
}

/** Puts records on a world's topic, as a program that is not ours would. */
export async function putOnTopic(world: World, messages: readonly Message[]): Promise<void> {
  const producer = world.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({ topic: world.topic, messages: [...messages] });
  await producer.disconnect();
}

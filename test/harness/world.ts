import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Kafka, logLevel, type Message, Partitioners } from 'kafkajs';
import { type Client, Pool } from 'pg';
import { DEFAULT_TIMINGS, readEnvironment, readSettings, type Role, type Timings } from '#config';
import type { RunningServer } from '../../apps/server/src/index.js';
import { eventually, readinessOf } from './eventually.js';
import { type Address, type PartAddresses, sharedParts, TEMPLATES, withServer } from './addresses.js';
import { majorVersion } from './tested-versions.js';
import { TEST_TIMINGS, TIMINGS_VARIABLE } from './timings.js';

export interface WorldOptions {
  readonly capture?: 'auto' | 'wal' | 'poll';
  /** The roles of each process-like server; one with all by default. */
  readonly servers?: readonly (readonly Role[])[];
  /** Additional variables of the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Sections that replace those of TEST_TIMINGS. With DEFAULT_TIMINGS, server processes run `main.js`. */
  readonly timings?: Partial<Timings>;
  /** Parts to use instead of those that all tests share. */
  readonly parts?: PartAddresses;
  /** Whether the databases are empty, so that the server migrates them. */
  readonly unmigrated?: boolean;
}

const CLOSED_WITHIN_MS = 10_000;
/** Name of the sessions of a world's `db1`, which stand for those of other programs. */
const OTHER_PROGRAM = 'other-program';
/** Time (ms) after which the sessions of a database that is dropped are terminated. */
const SESSIONS_END_WITHIN_MS = 500;
let server: Promise<typeof import('../../apps/server/src/index.js')> | undefined;

/**
 * Loads the server, which takes a second that many tests do not need. It is loaded once: Jest refuses an import in a concurrent test
 * that begins after another one.
 */
function loadServer(): Promise<typeof import('../../apps/server/src/index.js')> {
  return (server ??= import('../../apps/server/src/index.js'));
}

/** The shared world of this worker. global-teardown.ts closes it where the specs run in Jest's own process. */
const SHARED = Symbol.for('subscription-sync-shared-world');
const worker = globalThis as { [SHARED]?: Promise<World> };

const UTC = { options: '-c TimeZone=UTC' };

/** A test's own two databases, topic and consumer group, and the servers that it starts on them. */
export class World {
  readonly topic: string;
  readonly db1: Pool;
  readonly db2: Pool;
  private running: RunningServer[] = [];
  /** Tables of Database 1 that {@link reset} empties. Undefined for a world that is not shared. */
  private sharedTables: string | undefined;

  private constructor(
    readonly name: string,
    readonly addresses: PartAddresses,
    private readonly options: WorldOptions,
  ) {
    this.topic = name;
    this.db1 = quietPool({ ...addresses.db1, ...UTC, database: name, application_name: OTHER_PROGRAM, max: 20 });
    this.db2 = quietPool({ ...addresses.db2, ...UTC, database: name, application_name: 'test', max: 5 });
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    const addresses = options.parts ?? sharedParts();
    const name = `t_${randomBytes(6).toString('hex')}`;
    const template = (part: 'db1' | 'db2'): string => (options.unmigrated ? 'template1' : TEMPLATES[part]);
    const create = (part: 'db1' | 'db2'): Promise<void> => cloneDatabase(addresses[part], name, template(part));
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
   * Returns the world of all specs of this worker that need only an api process with default settings. It is started once, and emptied
   * for each file. `close` leaves it running.
   */
  static async shared(): Promise<World> {
    const world = await (worker[SHARED] ??= World.startShared());
    await world.reset();
    return world;
  }

  private static async startShared(): Promise<World> {
    const world = await World.create({ servers: [['api']] });
    const { rows } = await world.db1.query<{ name: string }>(
      `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace::regnamespace::text IN ('public', 'subscription_sync')`,
    );
    const empty = await Promise.all(rows.map(async ({ name }) => (await world.db1.query(`SELECT FROM ${name} LIMIT 1`)).rowCount === 0));
    world.sharedTables = rows
      .filter((_, index) => empty[index])
      .map(({ name }) => name)
      .join(', ');
    await world.start();
    // A server that is left running would keep Jest from ending.
    await world.ready().catch(async (error: unknown) => {
      await world.stop();
      throw error;
    });
    return world;
  }

  /** Empties the tables that are empty in a migrated database. The first statement logs deletions, which the second one removes. */
  private async reset(): Promise<void> {
    const client = await this.db1.connect();
    try {
      await client.query(`BEGIN; TRUNCATE subscriptions; TRUNCATE ${this.sharedTables}; COMMIT`);
    } finally {
      client.release();
    }
  }

  /**
   * Creates a world for `work` and closes it afterwards, so that concurrent tests do not share a world. An error of `work` is not hidden by one of
   * closing, which may need a part that `work` has stopped.
   */
  static async lend(work: (world: World) => Promise<void>, options: WorldOptions = {}): Promise<void> {
    const world = await World.create(options);
    try {
      await work(world);
    } catch (error) {
      await world.close().catch(() => undefined);
      throw error;
    }
    await world.close();
  }

  /**
   * Returns a world with other servers on the same databases and topic, which are started and stopped separately. Only the first world
   * may be closed.
   */
  beside(options: WorldOptions): World {
    return new World(this.name, this.addresses, options);
  }

  /** Starts other servers on the same databases and topic. @returns their world, once its dependencies are all up. It may only be stopped. */
  async startBeside(options: WorldOptions): Promise<World> {
    const world = this.beside(options);
    await world.start();
    await world.ready();
    return world;
  }

  /** URL at which the api role listens. */
  get url(): string {
    return this.running[0]!.url;
  }

  /** A client of the world's Kafka, for a test or as another program. */
  get kafka(): Kafka {
    return new Kafka({ clientId: 'test', brokers: [this.addresses.kafka], logLevel: logLevel.NOTHING });
  }

  get timings(): Timings {
    return this.options.timings === DEFAULT_TIMINGS ? DEFAULT_TIMINGS : { ...TEST_TIMINGS, ...this.options.timings };
  }

  get urls(): string[] {
    return this.running.map(({ url }) => url);
  }

  /** Returns the environment variables of a server of this world. */
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
      // Tests of scheduled runs set their own interval.
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

  /**
   * Resolves when every check of every server is up, and the capture is running. In a world with `wal` also its slot is read: before that the log is
   * read by SQL, whose changes may be counted again by the stream.
   */
  async ready(): Promise<void> {
    for (const { url } of this.running) {
      await eventually(async () => (await readinessOf(url)).status === 'ok');
    }
    if (this.options.capture === 'wal') await slotIsRead(this);
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

  /** Stops the servers and drops everything. Fails when a server left a connection or the reader of a temporary slot behind. */
  async close(): Promise<void> {
    if (this.sharedTables !== undefined) return this.endTransactions();
    await this.stop();
    try {
      await this.expectNoConnections();
    } finally {
      await this.drop();
    }
  }

  /** Ends transactions that a failed test of the shared world left open. */
  private async endTransactions(): Promise<void> {
    await this.db1.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2 AND state LIKE 'idle in transaction%'`,
      [this.name, OTHER_PROGRAM],
    );
  }

  private async drop(): Promise<void> {
    // Not awaited: a client that a failed test did not release would block for ever.
    void Promise.all([this.db1.end(), this.db2.end()]);
    await Promise.all([this.dropDatabase('db1'), this.dropDatabase('db2'), this.dropTopic()]);
  }

  private dropDatabase(part: 'db1' | 'db2'): Promise<void> {
    return withServer(this.addresses[part], async (server) => {
      await this.endSessions(server);
      await server.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${this.name}'`);
      await server.query(`DROP DATABASE ${this.name} WITH (FORCE)`);
    });
  }

  /**
   * Ends sessions that a failed test left behind: no slot can be created on a server while a transaction of any database is open. Those that end by
   * themselves are waited for, because PostgreSQL takes 100 ms to notice that a session which it terminates has ended.
   */
  private async endSessions(server: Client): Promise<void> {
    const sessions = `FROM pg_stat_activity WHERE datname = '${this.name}'`;
    try {
      await eventually(async () => (await server.query(`SELECT ${sessions}`)).rowCount === 0, SESSIONS_END_WITHIN_MS);
    } catch {
      await server.query(`SELECT pg_terminate_backend(pid, 5000) ${sessions}`);
    }
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

/**
 * Creates a database as a copy. The copy does not pass through the WAL, which all slots of the server have to read: it takes a third of the time.
 * Version 14 knows no other way.
 */
async function cloneDatabase(address: Address, name: string, template: string): Promise<void> {
  await withServer(address, async (server) => {
    const strategy = (await majorVersion(server)) >= 15 ? 'STRATEGY file_copy' : '';
    await server.query(`CREATE DATABASE ${name} TEMPLATE ${template} ${strategy}`);
  });
}

/** Creates a pool that does not end the process when a server goes away, or ends a session: tests stop servers. */
function quietPool(config: ConstructorParameters<typeof Pool>[0]): Pool {
  return new Pool(config).on('error', () => undefined).on('connect', (client) => client.on('error', () => undefined));
}

/** Returns the process ids of the servers' sessions that wait for a lock in a database. */
export async function lockWaits(pool: Pool, database: string): Promise<number[]> {
  const { rows } = await pool.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND application_name LIKE 'subscription-sync%'`,
    [database],
  );
  return rows.map(({ pid }) => pid);
}

/**
 * Resolves when the slot of the world exists and is read. PostgreSQL creates it when all open transactions of all databases have ended,
 * also those of other tests. Until then the slot is active too, but disappears with the session that requested it, or a moment later.
 */
export async function slotIsRead({ db1, name }: World): Promise<void> {
  const read = 'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NOT NULL';
  await eventually(async () => (await db1.query(read, [name])).rowCount === 1);
}

/** Terminates the reader of the slot, and drops the slot before the reader reconnects. */
export async function dropSlot({ db1, name }: World): Promise<void> {
  await eventually(async () => {
    await db1.query('SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1', [name]);
    await db1.query('SELECT pg_drop_replication_slot($1)', [name]);
    return true;
  });
}

/** Publishes records to a world's topic, as another program would. */
export async function putOnTopic(world: World, messages: readonly Message[]): Promise<void> {
  const producer = world.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  await producer.send({ topic: world.topic, messages: [...messages] });
  await producer.disconnect();
}

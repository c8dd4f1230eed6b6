import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { readEnvironment } from '#config';
import {
  SupervisedProcess,
  packageRoot,
  type EmbeddedServer,
  runCommand,
  StandaloneError,
  stopLeftover,
  waitFor,
} from './child-process.js';
import { fetchJars } from './maven.js';
import { claimPort, pickFreePort } from './plan.js';

interface KafkaOptions {
  /** Folder of the broker's log, its settings and its output. Created if it does not exist. */
  readonly dataDir: string;
  /** 0 chooses a free port. */
  readonly port: number;
  /** Version of Kafka instead of that of pom.xml, as in tests. */
  readonly version?: string | undefined;
  /** A second listener for clients that connect through a proxy, as in tests. */
  readonly proxyListener?: ProxyListener | undefined;
  /** Listeners with TLS or SASL beside the one without, as in tests. */
  readonly security?: BrokerSecurity | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface EmbeddedKafka extends EmbeddedServer {
  /** `127.0.0.1:<port>`, a value for KAFKA_SERVER. */
  readonly server: string;
  readonly port: number;
  readonly logFile: string;
}

/** An arbitrary id that must not change: a broker refuses data of another cluster. */
const CLUSTER_ID = 'c3Vic2NyaXB0aW9uLXN5bg';
/** Timeout (ms) for the start, which reads the last segments after a kill. */
const START_TIMEOUT_MS = 60_000;
/** Grace period (ms) for the broker's shutdown. */
const GRACE_MS = 15_000;
/** Uses the fast compiler alone: the start takes 1.8 s instead of 3 s, and a broker mostly moves bytes. */
const JVM_FLAGS = [
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:+ExitOnOutOfMemoryError',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];

/**
 * Starts one Kafka broker (KRaft, no security, 127.0.0.1 only) and resolves when it answers an admin request. Its data survive a kill.
 * @throws StandaloneError for missing or old Java, missing Maven, a used port, or unusable data; then nothing is left running.
 */
export async function startKafka(options: KafkaOptions): Promise<EmbeddedKafka> {
  const { signal, onProgress, security } = options;
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const pidFile = join(dataDir, 'kafka.pid');
  await stopLeftover({ pidFile, dataDir, stopSignal: 'SIGTERM', graceMs: GRACE_MS });
  const port = await claimPort(options.port, 'Kafka', 'STANDALONE_KAFKA_PORT');
  const java = await findJava();
  const classes = join(await kafkaLibraries({ version: options.version, onProgress, signal }), '*');
  const properties = join(dataDir, 'server.properties');
  const logDir = join(dataDir, 'log');
  const controllerPort = await pickFreePort([port, options.proxyListener?.port]);
  if (!existsSync(logDir)) await format({ java, classes, properties, logDir, scramUsers: security?.scramUsers ?? [], signal });
  writeFileSync(properties, kafkaProperties({ port, controllerPort, logDir, proxyListener: options.proxyListener, security }));
  signal?.throwIfAborted();
  const logFile = join(dataDir, 'kafka.log');
  const broker = new SupervisedProcess({
    command: java,
    args: [...JVM_FLAGS, '-cp', classes, 'kafka.Kafka', properties],
    logFile,
    pidFile,
    stopSignal: 'SIGTERM',
    killSignal: 'SIGKILL',
    graceMs: GRACE_MS,
  });
  const server = `127.0.0.1:${port}`;
  try {
    await waitFor(() => isReady(server, broker), { what: `Kafka (${logFile})`, withinMs: START_TIMEOUT_MS, signal });
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return {
    name: 'Kafka',
    server,
    port,
    logFile,
    pid: broker.pid,
    exited: broker.exited,
    stop: () => broker.stop(),
    kill: () => broker.kill(),
  };
}

interface FormatOptions {
  readonly java: string;
  readonly classes: string;
  readonly properties: string;
  readonly logDir: string;
  readonly scramUsers: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** Creates the log folder, complete or not at all, so that an interrupted first start does not affect the next one. */
async function format({ java, classes, properties, logDir, scramUsers, signal }: FormatOptions): Promise<void> {
  const workDir = `${logDir}.new`;
  rmSync(workDir, { recursive: true, force: true });
  try {
    writeFileSync(properties, kafkaProperties({ port: 1, controllerPort: 2, logDir: workDir }));
    const users = scramUsers.flatMap((user) => ['--add-scram', user]);
    const args = [...JVM_FLAGS, '-cp', classes, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties, ...users];
    const { code, lines } = await runCommand(java, args, { signal });
    if (code !== 0)
      throw new StandaloneError(
        `Kafka's storage cannot be created in ${logDir}: ${lines.findLast((line) => !line.startsWith('\tat')) ?? 'no reason given'}`,
      );
    renameSync(workDir, logDir);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

/** Returns true when the broker is registered with its controller, undefined before. @throws StandaloneError when it has ended. */
async function isReady(server: string, broker: SupervisedProcess): Promise<true | undefined> {
  if (broker.ended !== undefined)
    throw new StandaloneError(`Kafka ${broker.ended} at its start: ${broker.lastLogLine(/(ERROR|Exception|Error:).*/)}`);
  const client = new Kafka({
    clientId: 'standalone',
    brokers: [server],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1_000,
    requestTimeout: 2_000,
    retry: { retries: 0 },
  });
  const admin = client.admin();
  try {
    await admin.connect();
    const { brokers, controller } = await admin.describeCluster();
    return brokers.length > 0 && controller !== null ? true : undefined;
  } catch {
    return undefined;
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** Number of jars between two lines of progress. */
const PROGRESS_EVERY = 15;

interface LibrariesOptions {
  readonly version?: string | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Returns the folder with Kafka's jars, which Maven fetches the first time (45 jars, 43 MB; 5 to 10 s). Each checkout has one for each content
 * of pom.xml and each version.
 * @throws StandaloneError when Maven is missing or cannot fetch them.
 */
export async function kafkaLibraries({ version, onProgress, signal }: LibrariesOptions = {}): Promise<string> {
  const pom = join(packageRoot(), 'apps/standalone/kafka/pom.xml');
  const fingerprint = createHash('sha256')
    .update(readFileSync(pom))
    .update(version ?? '')
    .digest('hex')
    .slice(0, 12);
  const folder = join(packageRoot(), 'node_modules/.cache/standalone-kafka', fingerprint);
  if (existsSync(folder)) return folder;
  onProgress?.('Fetching Apache Kafka with Maven, once (43 MB)…');
  await fetchKafka(pom, folder, { version, onProgress, signal });
  return folder;
}

async function fetchKafka(pom: string, folder: string, { version, onProgress, signal }: LibrariesOptions): Promise<void> {
  let jars = 0;
  const onLine = (line: string): void => {
    if (/Downloaded from \S+ \S+\.jar/.test(line) && ++jars % PROGRESS_EVERY === 0) onProgress?.(`  ${jars} files fetched…`);
  };
  const failure = await fetchJars(pom, folder, version === undefined ? [] : [`-Dkafka.version=${version}`], { onLine, signal });
  if (failure === undefined) return;
  if (failure.reason === undefined)
    throw new StandaloneError(`Maven is needed once, to fetch Kafka, and there is no working "mvn" in PATH: install it, ${ALTERNATIVES}.`);
  throw new StandaloneError(
    `Maven could not fetch Kafka (its proxy or mirror is set in ~/.m2/settings.xml), ${ALTERNATIVES}. Maven reported: ${failure.reason}`,
  );
}

interface BrokerOptions {
  readonly port: number;
  readonly controllerPort: number;
  readonly logDir: string;
  readonly proxyListener?: ProxyListener | undefined;
  readonly security?: BrokerSecurity | undefined;
}

/** Listeners and settings of a broker beside the listener without security. */
export interface BrokerSecurity {
  /** By their names: the port on `localhost`, and Kafka's security protocol. */
  readonly listeners: Readonly<Record<string, { readonly port: number; readonly protocol: string }>>;
  /** Further settings of the broker. */
  readonly properties: Readonly<Record<string, string>>;
  /** Users as Kafka's storage tool takes them: `SCRAM-SHA-512=[name=…,password=…]`. */
  readonly scramUsers: readonly string[];
}

/** A second listener behind a proxy. The broker sends its clients to the proxy's port again, not to its own port. */
export interface ProxyListener {
  /** The port on which the broker listens for the proxy. */
  readonly port: number;
  /** The proxy's port on 127.0.0.1, which the broker advertises to those clients. */
  readonly advertisedPort: number;
}

/**
 * Returns the settings of one broker that is its own controller. The quorum is static: ports may change between two starts, and the broker
 * was ready 0.7 s sooner than with a dynamic quorum (Kafka 4.4.0, Java 17, 2 cores: 2.5 s and 3.2 s).
 */
function kafkaProperties({ port, controllerPort, logDir, proxyListener, security }: BrokerOptions): string {
  const listener = (name: string, at: number): string => `${name}://127.0.0.1:${at}`;
  const secure = Object.entries(security?.listeners ?? {});
  const secureListeners = secure.map(([name, at]) => `${name}://localhost:${at.port}`);
  const listeners = [listener('PLAINTEXT', port), ...(proxyListener ? [listener('PROXY', proxyListener.port)] : []), ...secureListeners];
  const advertised = [
    listener('PLAINTEXT', port),
    ...(proxyListener ? [listener('PROXY', proxyListener.advertisedPort)] : []),
    ...secureListeners,
  ];
  const protocols = [
    'PLAINTEXT:PLAINTEXT',
    'PROXY:PLAINTEXT',
    'CONTROLLER:PLAINTEXT',
    ...secure.map(([name, at]) => `${name}:${at.protocol}`),
  ];
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    listeners: [...listeners, listener('CONTROLLER', controllerPort)].join(','),
    'advertised.listeners': advertised.join(','),
    'listener.security.protocol.map': protocols.join(','),
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    // A killed broker is admitted again only when its previous session has expired. With the defaults its restart took 12 s instead of 6 s.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'log.dirs': logDir,
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // The default would use a quarter of the 512 MB heap.
    'log.cleaner.dedupe.buffer.size': String(16 * 1024 * 1024),
    ...security?.properties,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** Oldest version of Java that runs Kafka 4 brokers. */
const MIN_JAVA = 17;

/** Alternatives to installing what embedded Kafka needs. */
const ALTERNATIVES = 'or run "docker compose -f docker/compose.yaml up", or set KAFKA_SERVER to a running Kafka';

/**
 * Returns the `java` to use: that of JAVA_HOME if it is set, otherwise that in PATH.
 * @throws StandaloneError when there is none, or it is older than 17.
 */
export async function findJava(): Promise<string> {
  const home = readEnvironment().JAVA_HOME;
  const java = home ? join(home, 'bin', 'java') : 'java';
  const { code, lines } = await runCommand(java, ['-version']);
  // macOS has a stub that only reports that there is no Java, and fails.
  if (code !== 0) {
    throw new StandaloneError(
      `Kafka needs Java ${MIN_JAVA} or newer, and ${home ? `JAVA_HOME (${home}) has none` : 'there is none in PATH'}: install it, ${ALTERNATIVES}.`,
    );
  }
  const version = /version "([^"]+)"/.exec(lines.join('\n'))?.[1] ?? 'unknown';
  if (majorVersion(version) >= MIN_JAVA) return java;
  throw new StandaloneError(
    `Kafka needs Java ${MIN_JAVA} or newer, but ${java} is ${version}: install a newer one (or point JAVA_HOME at it), ${ALTERNATIVES}.`,
  );
}

/** Returns the major version: 8 of "1.8.0_402", 17 of "17.0.15", 25 of "25-ea". */
function majorVersion(version: string): number {
  const [first = 0, second = 0] = version.split(/[._-]/).map(Number);
  return first === 1 ? second : first;
}

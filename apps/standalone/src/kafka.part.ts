import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { GuardedProcess } from './guarded-process.js';
import { findJava } from './java.js';
import { kafkaLibraries } from './kafka-libraries.js';
import { kafkaProperties, type Detour } from './kafka-properties.js';
import type { Part } from './part.js';
import { stopLeftover } from './pid-file.js';
import { claimPort, pickFreePort } from './ports.js';
import { runCommand } from './run-command.js';
import { StandaloneError } from './standalone.error.js';
import { waitFor } from './wait-for.js';

export interface KafkaOptions {
  /** Made when missing. Holds the broker's log, its settings and its output. */
  readonly dataDir: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** For clients that are to come through something in between, such as a test's proxy. */
  readonly behind?: Detour | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface KafkaPart extends Part {
  /** `127.0.0.1:<port>`, what KAFKA_SERVER takes. */
  readonly server: string;
  readonly port: number;
  readonly logFile: string;
}

/** Any would do, as long as it stays: a broker refuses data of another cluster. */
const CLUSTER_ID = 'c3Vic2NyaXB0aW9uLXN5bg';
/** Recovery after a kill reads the last segments, ms. */
const START_WITHIN_MS = 60_000;
const GRACE_MS = 15_000;
/** Only the quick compiler: the start takes 1.8 s instead of 3 s, and a broker mostly moves bytes. */
const JVM_FLAGS = [
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:+ExitOnOutOfMemoryError',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];

/**
 * Starts one Kafka broker (KRaft, no security, 127.0.0.1 only) and resolves when it answers an admin request. Its data survives a kill.
 * @throws StandaloneError for missing or old Java, missing Maven, a taken port, unusable data; nothing runs on then.
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaPart> {
  const { signal, onProgress } = options;
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const pidFile = join(dataDir, 'kafka.pid');
  await stopLeftover({ pidFile, dataDir, stopSignal: 'SIGTERM', graceMs: GRACE_MS });
  const port = await claimPort(options.port, 'Kafka', 'STANDALONE_KAFKA_PORT');
  const java = await findJava();
  const classes = join(await kafkaLibraries({ onProgress, signal }), '*');
  const properties = join(dataDir, 'server.properties');
  const logDir = join(dataDir, 'log');
  const controllerPort = await pickFreePort([port, options.behind?.port]);
  if (!existsSync(logDir)) await format({ java, classes, properties, logDir, signal });
  writeFileSync(properties, kafkaProperties({ port, controllerPort, logDir, behind: options.behind }));
  signal?.throwIfAborted();
  const logFile = join(dataDir, 'kafka.log');
  const broker = new GuardedProcess({
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
    await waitFor(() => answers(server, broker), { what: `Kafka (${logFile})`, withinMs: START_WITHIN_MS, signal });
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
  readonly signal: AbortSignal | undefined;
}

/** Makes the log folder: complete or not at all, so that an interrupted first start is no trouble to the next. */
async function format({ java, classes, properties, logDir, signal }: FormatOptions): Promise<void> {
  const workDir = `${logDir}.new`;
  rmSync(workDir, { recursive: true, force: true });
  try {
    writeFileSync(properties, kafkaProperties({ port: 1, controllerPort: 2, logDir: workDir }));
    const args = [...JVM_FLAGS, '-cp', classes, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties];
    const { code, lines } = await runCommand(java, args, { signal });
    if (code !== 0)
      throw new StandaloneError(
        `Kafka's storage can't be made in ${logDir}: ${lines.findLast((line) => !line.startsWith('\tat')) ?? 'no reason given'}`,
      );
    renameSync(workDir, logDir);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

/** True once the broker is registered with its controller and says so; undefined before. */
async function answers(server: string, broker: GuardedProcess): Promise<true | undefined> {
  if (broker.ended !== undefined)
    throw new StandaloneError(`Kafka ${broker.ended} at its start: ${broker.lastWords(/(ERROR|Exception|Error:).*/)}`);
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

import { mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { DEFAULT_TIMINGS, type KafkaSettings } from '#config';
import type { RunningServer } from '../../server/src/index.js';
import { type EmbeddedServer, readPidFile, StandaloneError, waitFor, writePidFile } from './child-process.js';
import { startKafka } from './kafka.js';
import { claimPort, type DatabasePlan, type Plan } from './plan.js';
import { startPostgres } from './postgres.js';

/** Grace period (ms) for a service that is still starting or stopping, before its databases and Kafka are stopped. */
const SERVER_GRACE_MS = 15_000;

/** Timeout (ms) for the service to become ready before the announcement is printed. */
const READY_TIMEOUT_MS = 10_000;

/** Starts and stops the embedded servers and the service together. Whatever fails, nothing is left running after `stop`. */
export class Standalone {
  /** Resolves with one line when an embedded server has ended by itself. */
  readonly crashed: Promise<string>;
  private readonly abort = new AbortController();
  private readonly parts: EmbeddedServer[] = [];
  private reportCrash!: (line: string) => void;
  private starting: Promise<void> | undefined;
  private server: RunningServer | undefined;
  private releaseData: (() => void) | undefined;

  constructor(
    private readonly plan: Plan,
    private readonly print: (line: string) => void,
  ) {
    this.crashed = new Promise((resolve) => (this.reportCrash = resolve));
  }

  /**
   * Starts the embedded servers concurrently, then the service. To be called once; after a failure, call `stop`.
   * @throws StandaloneError for a cause that the user can remove; the service's own errors.
   */
  async start(): Promise<void> {
    this.starting = this.startAll();
    return this.starting;
  }

  /** Stops the service, then Kafka, then the databases, even in the middle of a start. */
  async stop(): Promise<void> {
    this.abort.abort(new StandaloneError('Stopped during the start.'));
    await settleWithin(SERVER_GRACE_MS, this.starting);
    await settleWithin(SERVER_GRACE_MS, this.server?.stop());
    const kafka = this.parts.filter(({ name }) => name === 'Kafka');
    const databases = this.parts.filter(({ name }) => name !== 'Kafka');
    for (const group of [kafka, databases]) await Promise.all(group.map((part) => part.stop()));
    this.releaseData?.();
  }

  /** Ends the embedded servers immediately. This process must end after it. */
  kill(): void {
    for (const part of this.parts) part.kill();
  }

  private async startAll(): Promise<void> {
    const { settings, databases, kafka, dataDir } = this.plan;
    if (kafka?.embedded || databases.some(({ embedded }) => embedded)) this.releaseData = lockDataFolder(dataDir);
    if (settings.port !== 0) await claimPort(settings.port, 'The API', 'PORT', settings.host);
    const { signal } = this.abort;
    const starts = databases.map(async (database) => {
      if (!database.embedded) return checkDatabase(database);
      const part = await startPostgres({ ...database, dataDir: join(dataDir, database.name.toLowerCase()), signal });
      this.watch(part, part.logFile, `${part.host}:${part.port}`);
    });
    if (kafka && !kafka.embedded) starts.push(checkKafka(settings.kafka!));
    if (kafka?.embedded) {
      const started = startKafka({ dataDir: join(dataDir, 'kafka'), port: kafka.port, onProgress: this.print, signal });
      starts.push(started.then((part) => this.watch(part, part.logFile, part.server)));
    }
    // A failure aborts the other starts. When all of them have ended, the first part that failed is reported.
    for (const start of starts) start.catch((error: unknown) => this.abort.abort(error));
    const failed = (await Promise.allSettled(starts)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    signal.throwIfAborted();
    // Imported only now, so that the errors above do not wait for the framework to load.
    const { startServer } = await import('../../server/src/index.js');
    this.server = await startServer(settings);
    const ready = await this.isReady(`${this.server.url}/health/ready`);
    this.print(announcement(this.plan, this.server.url, ready));
  }

  /** Waits until the service, which connects in the background, is ready: the first request must not be answered by 503. Returns false after the timeout. */
  private async isReady(healthUrl: string): Promise<boolean> {
    const check = async (): Promise<true | undefined> => {
      const answer = await fetch(healthUrl, { signal: this.abort.signal });
      const report = (await answer.json()) as { status?: string };
      return report.status === 'ok' ? true : undefined;
    };
    const wait = waitFor(check, { what: 'The service', withinMs: READY_TIMEOUT_MS, signal: this.abort.signal });
    const ready = await wait.catch(() => false);
    this.abort.signal.throwIfAborted();
    return ready;
  }

  private watch(part: EmbeddedServer, logFile: string, place: string): void {
    this.parts.push(part);
    this.print(`${part.name} is up on ${place}.`);
    void part.exited.then((how) => {
      if (!this.abort.signal.aborted)
        this.reportCrash(`${part.name} ${how}, so everything stops. Its log is ${logFile}; "npm start" starts it all again.`);
    });
  }
}

/** Waits until the promise is settled, but no longer than `ms`. */
async function settleWithin(ms: number, promise: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([Promise.resolve(promise).catch(() => undefined), timeout]);
  clearTimeout(timer);
}

/** The causes of PostgreSQL's connection errors by SQLSTATE, and how to remove them. */
const CONNECTION_ERRORS: Readonly<Record<string, (plan: DatabasePlan) => string>> = {
  '28P01': ({ name, user }) => `it refuses the password of user "${user}": correct ${name}_USER and ${name}_PASSWORD.`,
  '28000': ({ name, user }) => `it refuses user "${user}": correct ${name}_USER, or allow it in pg_hba.conf.`,
  '3D000': ({ name, database }) =>
    `it has no database "${database}": run CREATE DATABASE "${database}" there, or correct ${name}_DATABASE.`,
};

/**
 * Checks that a database that runs elsewhere can be used, before anything is started for it.
 * @throws StandaloneError naming the variables to correct.
 */
async function checkDatabase(plan: DatabasePlan): Promise<void> {
  const { name, host, port, user, password, database, tls } = plan;
  const { transportOf } = await import('#postgres');
  const client = new pg.Client({ host, port, user, password, database, ...transportOf(tls), connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string };
    const reason =
      CONNECTION_ERRORS[code]?.(plan) ??
      `it cannot be reached (${message || code}): start it, or unset ${name}_HOST to use the embedded one.`;
    throw new StandaloneError(`${name} is set to ${host}:${port}, but ${reason}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Checks that a Kafka that runs elsewhere can be used, with the service's own connection.
 * @throws StandaloneError naming the variables to correct.
 */
async function checkKafka(settings: KafkaSettings): Promise<void> {
  // Imported only now, because it loads the framework.
  const { kafkaClientOptions, settingsProblemOf } = await import('#kafka');
  const options = kafkaClientOptions(settings, 'standalone', DEFAULT_TIMINGS.kafka);
  const client = new Kafka({ ...options, logLevel: logLevel.NOTHING, connectionTimeout: 3_000, retry: { retries: 1 } });
  const admin = client.admin();
  try {
    await admin.connect();
    await admin.describeCluster();
  } catch (error) {
    const problem = settingsProblemOf(error, settings, 'inspect');
    const reason = problem === undefined ? `no Kafka answers there (${(error as Error).message})` : `it cannot be used: ${problem}`;
    const remedy = problem === undefined ? ': start it, or unset KAFKA_SERVER to use the embedded one.' : '.';
    throw new StandaloneError(`KAFKA_SERVER is set to ${settings.brokers.join(',')}, but ${reason}${remedy}`);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/**
 * Creates the data folder if it does not exist, and locks it for this process. A lock whose process has ended, for whatever reason, is ignored.
 * @returns a function that releases the lock.
 * @throws StandaloneError when another process has locked it.
 */
function lockDataFolder(dataDir: string): () => void {
  const lock = join(dataDir, 'standalone.pid');
  mkdirSync(dataDir, { recursive: true });
  const [owner] = readPidFile(lock);
  if (owner === undefined) rmSync(lock, { force: true });
  try {
    writePidFile(lock, [process.pid], { exclusive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const who = owner === undefined ? 'another process' : `process ${owner}`;
    throw new StandaloneError(
      `${dataDir} is in use by ${who}, a second "npm start"? Stop that one, or set STANDALONE_DATA_DIR, PORT, DB1_PORT, DB2_PORT and STANDALONE_KAFKA_PORT to others.`,
    );
  }
  return () => rmSync(lock, { force: true });
}

/** Returns the text that is printed after the start: the addresses, and commands to try first. */
function announcement({ databases, kafka, dataDir }: Plan, url: string, ready: boolean): string {
  const fromHere = relative('', dataDir);
  const shownDir = fromHere.startsWith('..') ? dataDir : fromHere || '.';
  const places = databases.map(
    (database) =>
      [
        database.name,
        `${database.host}:${database.port}/${database.database}`,
        database.embedded ? 'embedded PostgreSQL' : 'yours',
      ] as const,
  );
  const lines = [
    '',
    ready ? 'subscription-sync is running.' : `subscription-sync is not ready yet: ${url}/health/ready shows what is missing.`,
    '',
  ];
  lines.push(`  API       ${url}/subscriptions`, `            ${url}/docs  ${url}/health/ready  ${url}/metrics`);
  for (const [name, place, kind] of places) lines.push(`  ${name}       ${place.padEnd(24)} ${kind}`);
  if (kafka) lines.push(`  Kafka     ${kafka.brokers.join(',').padEnd(24)} ${kafka.embedded ? 'embedded Apache Kafka' : 'yours'}`);
  lines.push(
    '',
    'Try it:',
    `  curl -i ${url}/subscriptions -H 'content-type: application/json' -d '{"email":"ada@example.com","status":"active"}'`,
  );
  const statements = {
    DB1: "UPDATE subscriptions SET status = 'paused' WHERE email = 'ada@example.com'",
    DB2: 'SELECT email, status FROM subscriptions',
  };
  for (const database of databases) lines.push(`  psql ${connectionUrl(database)} -c "${statements[database.name]}"`);
  lines.push('', `Ctrl-C stops it all. The data stays in ${shownDir}.`, '');
  return lines.join('\n');
}

/** The URL for psql. The password of a database that runs elsewhere is not printed: psql asks for it. */
function connectionUrl({ embedded, host, port, user, password, database }: DatabasePlan): string {
  const credentials = embedded ? `${encodeURIComponent(user)}:${encodeURIComponent(password)}` : encodeURIComponent(user);
  return `postgres://${credentials}@${host}:${port}/${encodeURIComponent(database)}`;
}

import { mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import type { RunningServer } from '../../server/src/index.js';
import { type Part, readPidFile, StandaloneError, waitFor, writePidFile } from './child-process.js';
import { startKafka } from './kafka.js';
import { claimPort, type DatabasePlan, type Plan } from './plan.js';
import { startPostgres } from './postgres.js';

/** How long a service that is still starting, or stopping, may hold up the end of its parts, ms. */
const SERVER_GRACE_MS = 15_000;

/** How long the announcement waits for it, ms. */
const READY_WITHIN_MS = 10_000;

/** The parts and the service, started and stopped as one. Whatever fails, nothing is left running after `stop`. */
export class Standalone {
  /** Resolves with one line when a part has ended by itself. */
  readonly crashed: Promise<string>;
  private readonly abort = new AbortController();
  private readonly parts: Part[] = [];
  private reportCrash!: (line: string) => void;
  private starting: Promise<void> | undefined;
  private server: RunningServer | undefined;
  private giveBackData: (() => void) | undefined;

  constructor(
    private readonly plan: Plan,
    private readonly print: (line: string) => void,
  ) {
    this.crashed = new Promise((resolve) => (this.reportCrash = resolve));
  }

  /**
   * Starts the parts side by side, then the service. Call it once; after a failure, call `stop`.
   * @throws StandaloneError for what its user can put right; the service's own errors.
   */
  async start(): Promise<void> {
    this.starting = this.startAll();
    return this.starting;
  }

  /** Ends the service, then Kafka, then the databases, also in the middle of a start. */
  async stop(): Promise<void> {
    this.abort.abort(new StandaloneError('Stopped during the start.'));
    await within(SERVER_GRACE_MS, this.starting);
    await within(SERVER_GRACE_MS, this.server?.stop());
    const kafka = this.parts.filter(({ name }) => name === 'Kafka');
    const databases = this.parts.filter(({ name }) => name !== 'Kafka');
    for (const group of [kafka, databases]) await Promise.all(group.map((part) => part.stop()));
    this.giveBackData?.();
  }

  /** Ends the parts at once. To be followed by the end of this process. */
  kill(): void {
    for (const part of this.parts) part.kill();
  }

  private async startAll(): Promise<void> {
    const { settings, databases, kafka, dataDir } = this.plan;
    if (kafka?.embedded || databases.some(({ embedded }) => embedded)) this.giveBackData = takeDataFolder(dataDir);
    if (settings.port !== 0) await claimPort(settings.port, 'The API', 'PORT', settings.host);
    const { signal } = this.abort;
    const starts = databases.map(async (database) => {
      if (!database.embedded) return checkDatabase(database);
      const part = await startPostgres({ ...database, dataDir: join(dataDir, database.name.toLowerCase()), signal });
      this.watch(part, part.logFile, `${part.host}:${part.port}`);
    });
    if (kafka && !kafka.embedded) starts.push(checkKafka(kafka.brokers));
    if (kafka?.embedded) {
      const started = startKafka({ dataDir: join(dataDir, 'kafka'), port: kafka.port, onProgress: this.print, signal });
      starts.push(started.then((part) => this.watch(part, part.logFile, part.server)));
    }
    // The first failure ends the other starts, and all have ended before it is reported.
    await Promise.allSettled(starts.map((start) => start.catch((error: unknown) => this.abort.abort(error))));
    signal.throwIfAborted();
    // Loaded only now: a refusal above must not wait for a framework.
    const { startServer } = await import('../../server/src/index.js');
    this.server = await startServer(settings);
    const ready = await this.isReady(`${this.server.url}/health/ready`);
    this.print(announcement(this.plan, this.server.url, ready));
  }

  /** The service connects in the background: a first curl must not meet a 503, nor a first change wait for a reader. */
  private async isReady(healthUrl: string): Promise<boolean> {
    const ask = async (): Promise<true | undefined> => {
      const answer = await fetch(healthUrl, { signal: this.abort.signal });
      const report = (await answer.json()) as { status?: string };
      return report.status === 'ok' ? true : undefined;
    };
    const wait = waitFor(ask, { what: 'The service', withinMs: READY_WITHIN_MS, signal: this.abort.signal });
    const ready = await wait.catch(() => false);
    this.abort.signal.throwIfAborted();
    return ready;
  }

  private watch(part: Part, logFile: string, place: string): void {
    this.parts.push(part);
    this.print(`${part.name} is up on ${place}.`);
    void part.exited.then((how) => {
      if (!this.abort.signal.aborted)
        this.reportCrash(`${part.name} ${how}, so everything stops. Its log is ${logFile}; "npm start" starts it all again.`);
    });
  }
}

/** Waits for the promise to settle, either way, but no longer than that. */
async function within(ms: number, promise: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([Promise.resolve(promise).catch(() => undefined), late]);
  clearTimeout(timer);
}

/** What PostgreSQL's refusals mean for the one who configured it. */
const REFUSALS: Readonly<Record<string, (plan: DatabasePlan) => string>> = {
  '28P01': ({ name, user }) => `it refuses the password of user "${user}": correct ${name}_USER and ${name}_PASSWORD.`,
  '28000': ({ name, user }) => `it refuses user "${user}": correct ${name}_USER, or allow it in pg_hba.conf.`,
  '3D000': ({ name, database }) =>
    `it has no database "${database}": run CREATE DATABASE "${database}" there, or correct ${name}_DATABASE.`,
};

/**
 * Makes sure that a database that runs elsewhere can be used, before anything is started for it.
 * @throws StandaloneError naming the variables to correct.
 */
async function checkDatabase(plan: DatabasePlan): Promise<void> {
  const { name, host, port, user, password, database } = plan;
  const client = new pg.Client({ host, port, user, password, database, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string };
    const reason =
      REFUSALS[code]?.(plan) ?? `it can't be reached (${message || code}): start it, or unset ${name}_HOST to use the embedded one.`;
    throw new StandaloneError(`${name} is set to ${host}:${port}, but ${reason}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws StandaloneError when none of the brokers answers. */
async function checkKafka(brokers: readonly string[]): Promise<void> {
  const client = new Kafka({
    clientId: 'standalone',
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 3_000,
    retry: { retries: 1 },
  });
  const admin = client.admin();
  try {
    await admin.connect();
    await admin.describeCluster();
  } catch (error) {
    throw new StandaloneError(
      `KAFKA_SERVER is set to ${brokers.join(',')}, but no Kafka answers there (${(error as Error).message}): start it, or unset KAFKA_SERVER to use the embedded one.`,
    );
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/**
 * Makes the folder when missing and takes it for this process. A lock whose process is gone, however it ended, doesn't count.
 * @returns what gives it back.
 * @throws StandaloneError when another process has it.
 */
function takeDataFolder(dataDir: string): () => void {
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

/** What runs where, and what to try first. */
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
    ready ? 'subscription-sync is running.' : `subscription-sync is not ready yet: ${url}/health/ready tells what is missing.`,
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
    DB2: 'SELECT email, status, version FROM subscriptions',
  };
  for (const database of databases) lines.push(`  psql ${connectionUrl(database)} -c "${statements[database.name]}"`);
  lines.push('', `Ctrl-C stops it all. The data stays in ${shownDir}.`, '');
  return lines.join('\n');
}

/** A password that isn't ours is not printed: psql asks for it. */
function connectionUrl({ embedded, host, port, user, password, database }: DatabasePlan): string {
  const credentials = embedded ? `${encodeURIComponent(user)}:${encodeURIComponent(password)}` : encodeURIComponent(user);
  return `postgres://${credentials}@${host}:${port}/${encodeURIComponent(database)}`;
}

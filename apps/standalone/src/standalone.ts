import { join } from 'node:path';
import type { RunningServer } from '../../server/src/bootstrap.js';
import { announcement } from './announcement.js';
import { takeDataFolder } from './data-folder.js';
import { checkDatabase, checkKafka } from './external-parts.js';
import { startKafka } from './kafka.part.js';
import type { Part } from './part.js';
import type { Plan } from './plan.js';
import { claimPort } from './ports.js';
import { startPostgres } from './postgres.part.js';
import { StandaloneError } from './standalone.error.js';
import { waitFor } from './wait-for.js';

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

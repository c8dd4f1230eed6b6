import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Pool } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { DEFAULT_TIMINGS, type PostgresTimings, retry } from '#config';
import { poolQuery, type ClientWithTimeout, type PreparedStatement, type Statement } from './client.js';
import { DatabaseUnavailableError, isPostgresError, isStaleStatement, isUnavailable } from './errors.js';
import { migrate } from './migrator.js';

const CHECK_TIMEOUT_MS = 2_000;
/** Longest statement of a request, ms. */
const REQUEST_MS = 10_000;

/**
 * One of the two databases. Connects and migrates in the background and retries for as long as it takes, so that a process
 * whose database is down at start serves what it can and says what it waits for.
 */
export class Database {
  /** Resolves once the database is connected and migrated; rejects when the process stops before that. */
  readonly ready: Promise<void>;

  private readonly logger: Logger;
  private readonly stopping = new AbortController();
  private settle!: { resolve: () => void; reject: (error: Error) => void };
  private starting: Promise<void> | undefined;
  private prepared = false;
  /** Why it is not prepared. */
  private problem = 'not connected yet';

  /** `prepare` runs after the migrations at every start. */
  constructor(
    readonly name: 'db1' | 'db2',
    readonly dataSource: DataSource,
    private readonly prepare: (dataSource: DataSource) => Promise<void> = () => Promise.resolve(),
    private readonly timings: PostgresTimings = DEFAULT_TIMINGS.postgres,
  ) {
    this.logger = new Logger(name);
    this.ready = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    // Nobody may be waiting when the process stops.
    this.ready.catch(() => undefined);
  }

  start(): void {
    this.starting ??= this.connect();
  }

  /**
   * One statement on a connection of the pool, for requests that must not wait.
   * @throws DatabaseUnavailableError when the database is not connected, does not answer for 12 s or the connection breaks: the
   * outcome is then unknown. Else what it answers.
   */
  query<Row>(sql: string, parameters: unknown[] = []): Promise<Row[]> {
    return this.atOnce(() => this.ask({ text: sql }, parameters));
  }

  /** The same for what is asked often: parsed and planned once a connection. */
  async queryPrepared<Row>(statement: PreparedStatement, parameters: unknown[]): Promise<Row[]> {
    try {
      return await this.atOnce(() => this.ask<Row>(statement, parameters));
    } catch (error) {
      if (!isStaleStatement(error)) throw error;
      return this.query(statement.text, parameters);
    }
  }

  /** The same for a transaction, each of whose statements has 12 s. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.atOnce(() => this.within(REQUEST_MS, (manager) => manager.transaction(work)));
  }

  /** @throws what the database answers, or an error when it does not answer within 2 s. */
  async check(): Promise<void> {
    if (!this.prepared) throw new Error(this.problem);
    const timer = new AbortController();
    const timeout = delay(CHECK_TIMEOUT_MS, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`);
    });
    try {
      await Promise.race([this.ask({ text: 'SELECT 1' }, [], CHECK_TIMEOUT_MS), timeout]);
    } finally {
      timeout.catch(() => undefined);
      timer.abort();
    }
  }

  /** Stops trying to connect. The pool itself is closed by TypeORM's module, after the roles have finished. */
  async stopConnecting(): Promise<void> {
    this.stopping.abort();
    await this.starting;
  }

  private async atOnce<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.prepared) throw new DatabaseUnavailableError(this.name, this.problem);
    try {
      return await ask();
    } catch (error) {
      // pg's own trace leads to a socket.
      if (isPostgresError(error)) Error.captureStackTrace(error);
      if (isUnavailable(error)) throw new DatabaseUnavailableError(this.name, (error as Error).message, { cause: error });
      throw error;
    }
  }

  private ask<Row>(statement: Statement, values: unknown[], withinMs = REQUEST_MS): Promise<Row[]> {
    return poolQuery((this.dataSource.driver as PostgresDriver).master as Pool, statement, values, withinMs);
  }

  /** On one connection of the pool, which is destroyed when a statement is not answered in time. */
  private async within<T>(statementMs: number, ask: (manager: EntityManager) => Promise<T>): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const client = (await runner.connect()) as ClientWithTimeout;
      return await client.within(statementMs, () => ask(runner.manager));
    } finally {
      await runner.release();
    }
  }

  private async connect(): Promise<void> {
    const options = {
      backoff: this.timings.connectRetry,
      signal: this.stopping.signal,
      onFailure: ({ message }: Error, pauseMs: number): void => {
        this.problem = message;
        this.logger.error(`Can't use ${this.describe()}: ${message}. Trying again in ${pauseMs} ms.`);
      },
    };
    try {
      await retry(() => this.connectOnce(), options);
      this.prepared = true;
      this.settle.resolve();
    } catch {
      this.settle.reject(new Error(`${this.name} was stopped before it was connected`));
    }
  }

  private async connectOnce(): Promise<void> {
    if (!this.dataSource.isInitialized) await this.dataSource.initialize();
    await migrate(this.dataSource);
    await this.prepare(this.dataSource);
  }

  private describe(): string {
    const { host, port, database, username } = this.dataSource.options as unknown as Record<string, string>;
    return `${this.name} (${username}@${host}:${port}/${database})`;
  }
}

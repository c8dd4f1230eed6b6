import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { Pool } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { type PostgresTimings, retry } from '#config';
import { findPooler, poolQuery, type PreparedStatement, type Statement, withConnection } from './client.js';
import { DatabaseUnavailableError, isPostgresError, isStaleStatement, isUnavailable } from './errors.js';
import { migrate } from './migrator.js';
import type { SubscriptionTable } from './subscription-table.js';

/** Calls at every start, before a database is used. */
export interface DatabasePreparation {
  /** Checks the database before its migrations, and only reads. @throws Error when the service cannot work with it. */
  readonly expectFit?: ((dataSource: DataSource) => Promise<void>) | undefined;
  /** Called after the migrations. Returns the description of the users' table. */
  readonly prepare?: ((dataSource: DataSource) => Promise<SubscriptionTable>) | undefined;
}

/** Brings a connected database to this release. @returns the description of the users' table. @throws Error when the database is not fit. */
export async function prepareDatabase(
  dataSource: DataSource,
  { expectFit, prepare }: DatabasePreparation,
): Promise<SubscriptionTable | undefined> {
  await expectFit?.(dataSource);
  await migrate(dataSource);
  return prepare?.(dataSource);
}

/**
 * One of the two databases. Connects and migrates in the background, and retries until it succeeds, so that a process whose database is
 * down at start serves what it can and reports what it waits for.
 *
 * How to run SQL, depending on who waits for it:
 * - A request, a health check or a metric: {@link query}, {@link queryPrepared} or {@link transaction} of this class. They fail within
 *   seconds and say whether the database is unavailable.
 * - Background work that retries: {@link dataSource}, TypeORM's `query` and `transaction`, with the timeouts of the connection.
 *   Migrations and maintenance use `withMaintenanceTimeout`, changes of the schema `withSchemaLock`.
 * - A function that has to run in its caller's transaction takes an `EntityManager`. A hot statement in a transaction is run by the
 *   function `queryPrepared`, because TypeORM's `query` plans it each time.
 * - A session that must keep its connection (the lease, a replication stream): a pg `Client` of its own (libs/sync).
 */
export class Database {
  /** Resolves once the database is connected and migrated. Rejects when the process stops before that. */
  readonly ready: Promise<void>;

  private readonly logger: Logger;
  private readonly stopping = new AbortController();
  private readiness!: { resolve: () => void; reject: (error: Error) => void };
  private connecting: Promise<void> | undefined;
  private isPrepared = false;
  private description: SubscriptionTable | undefined;
  /** Why the database is not prepared. */
  private problem = 'not connected yet';

  constructor(
    readonly name: 'db1' | 'db2',
    readonly dataSource: DataSource,
    private readonly timings: PostgresTimings,
    private readonly preparation: DatabasePreparation = {},
  ) {
    this.logger = new Logger(name);
    this.ready = new Promise((resolve, reject) => (this.readiness = { resolve, reject }));
    // It may have no listener when the process stops.
    this.ready.catch(() => undefined);
  }

  /** Returns a connected database whose schema is used as it is: for a command, which neither migrates nor retries. @throws the driver's error. */
  static async connected(name: 'db1' | 'db2', dataSource: DataSource, timings: PostgresTimings): Promise<Database> {
    const database = new Database(name, await dataSource.initialize(), timings);
    database.isPrepared = true;
    database.readiness.resolve();
    return database;
  }

  /** The users' table of subscriptions. @throws DatabaseUnavailableError while the database is not prepared. */
  get table(): SubscriptionTable {
    if (!this.description) throw new DatabaseUnavailableError(this.name, this.problem);
    return this.description;
  }

  /** Whether {@link table} is known. */
  get isDescribed(): boolean {
    return this.description !== undefined;
  }

  start(): void {
    this.connecting ??= this.connect();
  }

  /**
   * Runs one statement on a connection of the pool and returns its rows.
   * @throws DatabaseUnavailableError when the database is not connected, does not answer within 12 s, or the connection breaks: the
   * outcome is then unknown. Otherwise the error that PostgreSQL sends.
   */
  query<Row>(sql: string, parameters: unknown[] = []): Promise<Row[]> {
    return this.failFast(() => this.run({ text: sql }, parameters));
  }

  /** Does the same for a frequent statement, which is parsed and planned once per connection. */
  async queryPrepared<Row>(statement: PreparedStatement, parameters: unknown[]): Promise<Row[]> {
    try {
      return await this.failFast(() => this.run<Row>(statement, parameters));
    } catch (error) {
      if (!isStaleStatement(error)) throw error;
      return this.query(statement.text, parameters);
    }
  }

  /** Does the same for a transaction, each of whose statements has 12 s. */
  transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.failFast(() => withConnection(this.dataSource, this.timings.requestTimeoutMs, (manager) => manager.transaction(work)));
  }

  /** @throws the database's error, or an error when it does not answer within 2 s. */
  async check(): Promise<void> {
    if (!this.isPrepared) throw new Error(this.problem);
    const { checkTimeoutMs } = this.timings;
    const timer = new AbortController();
    const timeout = delay(checkTimeoutMs, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`no answer within ${checkTimeoutMs} ms`);
    });
    try {
      await Promise.race([this.run({ text: 'SELECT 1' }, [], checkTimeoutMs), timeout]);
    } finally {
      timeout.catch(() => undefined);
      timer.abort();
    }
  }

  /** Stops trying to connect. The pool itself is closed by TypeORM's module, after the roles have finished. */
  async stopConnecting(): Promise<void> {
    this.stopping.abort();
    await this.connecting;
  }

  private run<Row>(statement: Statement, values: unknown[], timeoutMs = this.timings.requestTimeoutMs): Promise<Row[]> {
    return poolQuery((this.dataSource.driver as PostgresDriver).master as Pool, statement, values, timeoutMs);
  }

  /** Rejects at once while the database is not prepared, and turns errors of an unavailable database into {@link DatabaseUnavailableError}. */
  private async failFast<T>(work: () => Promise<T>): Promise<T> {
    if (!this.isPrepared) throw new DatabaseUnavailableError(this.name, this.problem);
    try {
      return await work();
    } catch (error) {
      // pg's own stack leads to a socket.
      if (isPostgresError(error)) Error.captureStackTrace(error);
      if (isUnavailable(error)) throw new DatabaseUnavailableError(this.name, (error as Error).message, { cause: error });
      throw error;
    }
  }

  private async connect(): Promise<void> {
    const onFailure = ({ message }: Error, pauseMs: number): void => {
      this.problem = message;
      this.logger.error({
        code: 'database-unusable',
        message: `${this.describe()} cannot be used: ${message}. Trying again in ${pauseMs} ms.`,
      });
    };
    const attempt = async (): Promise<void> => {
      if (!this.dataSource.isInitialized) await this.dataSource.initialize();
      this.description = await prepareDatabase(this.dataSource, this.preparation);
    };
    try {
      await retry(attempt, { backoff: this.timings.connectRetry, signal: this.stopping.signal, onFailure });
      await this.reportPooler();
      this.isPrepared = true;
      this.readiness.resolve();
    } catch {
      this.readiness.reject(new Error(`${this.name} was stopped before it was connected`));
    }
  }

  private async reportPooler(): Promise<void> {
    const pooler = await findPooler(this.dataSource).catch(() => undefined);
    if (!pooler) return;
    const prepares = pooler.keepsPrepared ? 'are prepared' : 'are not prepared, because it does not keep prepared statements';
    this.logger.log({
      code: 'pooler-found',
      message: `${this.describe()} is reached through a pooler: each transaction sets what it relies on. Statements ${prepares}.`,
    });
  }

  private describe(): string {
    const { host, port, database, username } = this.dataSource.options as unknown as Record<string, string>;
    return `${this.name} (${username}@${host}:${port}/${database})`;
  }
}

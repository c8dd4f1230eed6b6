import { createHash } from 'node:crypto';
import { Client, type Pool, type PoolClient, Query as PgQuery, type QueryResult } from 'pg';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { isPostgresError, isStaleStatement } from './errors.js';
import { forOneClient, SessionClient, type SessionConfig } from './session-client.js';

/** Runs one statement and returns its rows. */
export type Query = <Row>(sql: string, parameters?: unknown[]) => Promise<Row[]>;

/** Returns the query of a connection, or of a transaction. */
export function queryOf(connection: Pick<DataSource | EntityManager | QueryRunner, 'query'>): Query {
  return (sql, parameters) => connection.query(sql, parameters);
}

interface ClientOptions extends SessionConfig {
  readonly statementTimeoutMs: number;
  readonly answerGraceMs: number;
  readonly probeIntervalMs?: number;
}

/** Number of probes in a row that have to find no statement: an answer may be on its way while the first one looks. */
const PROBES = 2;

/**
 * A client of a pool whose statements never wait for ever: a database can be cut off in a way that leaves the connection open and silent,
 * and TCP takes many minutes to notice that.
 *
 * A statement that is not answered in time rejects with ETIMEDOUT, and its connection is destroyed, so that the pool opens another one.
 * pg's own `query_timeout` keeps the connection: back in the pool, it would let the next statement wait behind the one that was given up.
 * Whether the server executed the statement is unknown.
 *
 * The server's own statement_timeout comes first, by `answerGraceMs`: it also ends the statement, and the connection stays usable.
 *
 * A statement that may take a minute or an hour is not waited for that long when the network has forgotten its connection: the server is asked,
 * over another connection, whether it is busy with it. A slow statement is not mistaken for a lost one.
 */
export class ClientWithTimeout extends SessionClient {
  private statementTimeoutMs: number;
  private readonly answerGraceMs: number;
  private readonly probeIntervalMs: number;

  constructor(private readonly config: ClientOptions) {
    super(config);
    // Between the pool and its user, and back, the client has no listener for a moment: an error at that moment would end the process. The
    // next statement reports it.
    this.on('error', () => undefined);
    this.statementTimeoutMs = config.statementTimeoutMs;
    this.answerGraceMs = config.answerGraceMs;
    this.probeIntervalMs = config.probeIntervalMs ?? Infinity;
  }

  protected override run(args: unknown[]): unknown {
    return this.limit(super.run(args));
  }

  /** Runs `work` with another timeout (ms) for each of its statements, and not with another `statement_timeout` of the server. */
  async withStatementTimeout<T>(statementTimeoutMs: number, work: () => Promise<T>): Promise<T> {
    const usual = this.statementTimeoutMs;
    this.statementTimeoutMs = statementTimeoutMs;
    try {
      return await work();
    } finally {
      this.statementTimeoutMs = usual;
    }
  }

  /**
   * Starts the timeout (ms) of a statement. If it passes, the connection is destroyed, which rejects the statement.
   * @returns the function that stops the timeout.
   */
  startTimeout(statementTimeoutMs: number): () => void {
    const ms = statementTimeoutMs + this.answerGraceMs;
    const timer = setTimeout(() => this.giveUp(`no answer within ${ms} ms`), ms);
    const stopProbing = ms > (PROBES + 1) * this.probeIntervalMs ? this.probe() : undefined;
    return () => {
      clearTimeout(timer);
      stopProbing?.();
    };
  }

  private giveUp(reason: string): void {
    this.connection.stream.destroy(Object.assign(new Error(reason), { code: 'ETIMEDOUT' }));
  }

  /** Asks the server at intervals whether it is busy with this connection's statement. @returns the function that stops it. */
  private probe(): () => void {
    let misses = 0;
    let isStopped = false;
    const stop = (): void => {
      isStopped = true;
      clearInterval(timer);
    };
    const timer = setInterval(() => {
      void this.isBusy().then((isBusy) => {
        misses = isBusy ? 0 : misses + 1;
        if (misses < PROBES || isStopped) return;
        stop();
        this.giveUp('no answer, and the server is not busy with the statement: the connection is lost');
      });
    }, this.probeIntervalMs);
    return stop;
  }

  /**
   * A server that answers with an error of its own, such as one for too many connections, tells nothing: it counts as busy. So does a pooler
   * that has accepted the connection, because it may have no session to lend at the moment.
   */
  private async isBusy(): Promise<boolean> {
    const { config, probeIntervalMs } = this;
    const limits = { connectionTimeoutMillis: probeIntervalMs, query_timeout: probeIntervalMs };
    const client = new Client(Object.assign(forOneClient(config), limits));
    client.on('error', () => undefined);
    let isConnected = false;
    try {
      await client.connect();
      isConnected = true;
      const { rows } = await client.query<{ busy: boolean }>(`SELECT state = 'active' AS busy FROM pg_stat_activity WHERE pid = $1`, [
        this.backendPid,
      ]);
      return rows[0]?.busy ?? false;
    } catch (error) {
      return isPostgresError(error) || (this.isPooled && isConnected);
    } finally {
      client.connection.stream.destroy();
    }
  }

  private limit(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    const stopTimeout = this.startTimeout(this.statementTimeoutMs);
    answer.then(stopTimeout, stopTimeout);
    return answer;
  }
}

/** A statement that PostgreSQL parses and plans once per connection. */
export interface PreparedStatement {
  readonly name: string;
  readonly text: string;
}

/** Names the statement after its text, because a connection keeps one text for a name. */
export function prepared(text: string): PreparedStatement {
  return { name: createHash('sha256').update(text).digest('base64url'), text };
}

/**
 * Runs a prepared statement in the manager's transaction if it has one, else on a connection of the pool. TypeORM's own `query` plans each
 * time: 0.2 ms for the statement that applies a batch, which is more than applying ten rows takes.
 */
export async function queryPrepared<Row extends object>(
  manager: EntityManager,
  { name, text }: PreparedStatement,
  values: unknown[],
): Promise<Row[]> {
  const runner = manager.queryRunner ?? manager.dataSource.createQueryRunner();
  try {
    const client = (await runner.connect()) as PoolClient;
    return (await client.query<Row>({ name, text, values })).rows;
  } finally {
    if (runner !== manager.queryRunner) await runner.release();
  }
}

/** A statement, prepared if it has a name. Without a name it is parsed each time. */
export type Statement = Pick<PreparedStatement, 'text'> & Partial<PreparedStatement>;

/**
 * Runs one statement on a connection of the pool, in one round trip, with {@link ClientWithTimeout}'s timeout. A connection whose prepared
 * statement is stale is not used again.
 *
 * It bypasses TypeORM's query runner (40 µs) and uses one promise and pg's own Query instead of query options, which pg copies twice
 * (15 µs): the whole service needs about 200 µs to read a row by its key.
 */
export function poolQuery<Row>(pool: Pool, { name, text }: Statement, values: unknown[], timeoutMs: number): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    pool.connect((unreachable, client, release) => {
      if (!client) {
        reject(unreachable!);
        return;
      }
      const timed = client as unknown as ClientWithTimeout;
      const stopTimeout = timed.startTimeout(timeoutMs);
      const end = (error: Error | null | undefined, result?: QueryResult): void => {
        stopTimeout();
        release(isStaleStatement(error));
        if (error) reject(error);
        else resolve(result!.rows as Row[]);
      };
      if (timed.isPooled) {
        timed.query({ name, text, values }).then((result) => end(null, result), end);
      } else {
        const query = new PgQuery(text, values, end);
        client.query(name === undefined ? query : Object.assign(query, { name }));
      }
    });
  });
}

/** Calls `work` with one connection of the pool. Each statement has `timeoutMs`; one without an answer destroys the connection. */
export async function withConnection<T>(
  dataSource: DataSource,
  timeoutMs: number,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  return withClient(dataSource, (client, manager) => client.withStatementTimeout(timeoutMs, () => work(manager)));
}

/** Calls `work` with one connection of the pool. */
async function withClient<T>(dataSource: DataSource, work: (client: ClientWithTimeout, manager: EntityManager) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    return await work((await runner.connect()) as ClientWithTimeout, runner.manager);
  } finally {
    await runner.release();
  }
}

/** Returns what is known of the pooler through which the database is reached; undefined if it is reached directly. */
export function findPooler(dataSource: DataSource): Promise<{ readonly keepsPrepared: boolean } | undefined> {
  return withClient(dataSource, ({ isPooled, keepsPrepared }) => Promise.resolve(isPooled ? { keepsPrepared } : undefined));
}

/** Timeout (ms) for a statement of maintenance: it may rewrite a large table of another program, or wait for another program's lock. */
const MAINTENANCE_TIMEOUT_MS = 3_600_000;

/**
 * Calls `work` with one connection whose statements may take an hour each. For migrations and maintenance, which are slow on large tables
 * and which no request waits for.
 */
export function withMaintenanceTimeout<T>(dataSource: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  const timeoutMs = MAINTENANCE_TIMEOUT_MS;
  return withClient(dataSource, (client, manager) =>
    client.withStatementTimeout(timeoutMs, () => client.withSetting('statement_timeout', timeoutMs, () => work(manager))),
  );
}

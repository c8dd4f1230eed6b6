import { createHash } from 'node:crypto';
import { Client, type ClientConfig, type Pool, type PoolClient, Query } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import { isStaleStatement } from './errors.js';

/** The server's own timeout comes first: it ends the statement, too, and the connection stays usable. */
const GRACE_MS = 2_000;

/**
 * A client of a pool, none of whose statements waits for ever: a database may be cut off in a way that leaves the connection open
 * and silent, and TCP takes many minutes to notice that.
 *
 * A statement that is not answered in time rejects with ETIMEDOUT, and the connection is destroyed with it, so that the pool opens
 * another one. pg's own `query_timeout` leaves the connection as it is: back in the pool, it would let the next statement wait
 * behind the one that nobody waits for any more. What the server made of the statement is unknown.
 */
export class ClientWithTimeout extends Client {
  private statementMs: number;

  constructor(config: ClientConfig & { readonly statementMs: number }) {
    super(config);
    // Between the pool and its user, and back, nobody listens for a moment: an end just then would end the process. The next
    // statement tells of it.
    this.on('error', () => undefined);
    this.statementMs = config.statementMs;
    const query = this.query.bind(this) as (...args: unknown[]) => unknown;
    this.query = ((...args: unknown[]) => this.bounded(query(...args))) as Client['query'];
  }

  /** Other bounds for each statement of `work`: the server's is the caller's to set. */
  async within<T>(statementMs: number, work: () => Promise<T>): Promise<T> {
    const usual = this.statementMs;
    this.statementMs = statementMs;
    try {
      return await work();
    } finally {
      this.statementMs = usual;
    }
  }

  /**
   * From now on the server has `statementMs` to answer a statement; then the connection is destroyed, which rejects it.
   * @returns what to call when it has answered.
   */
  bound(statementMs: number): () => void {
    const ms = statementMs + GRACE_MS;
    const timer = setTimeout(() => {
      this.connection.stream.destroy(Object.assign(new Error(`no answer within ${ms} ms`), { code: 'ETIMEDOUT' }));
    }, ms);
    return () => clearTimeout(timer);
  }

  private bounded(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    const answered = this.bound(this.statementMs);
    answer.then(answered, answered);
    return answer;
  }
}

/** A statement with the name that it is prepared by, or without: then it is parsed each time. */
export type Statement = Pick<PreparedStatement, 'text'> & Partial<PreparedStatement>;

/**
 * One statement on a connection of the pool, in one round trip. The server has `withinMs` for it; what happens after is
 * {@link ClientWithTimeout}'s. A connection whose prepared statement is stale is not used again.
 *
 * Past TypeORM's query runner (40 µs), and with one promise and pg's own Query instead of its options, which it copies twice (15 µs): a row
 * by its key takes the whole service about 200.
 */
export function poolQuery<Row>(pool: Pool, { name, text }: Statement, values: unknown[], withinMs: number): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    pool.connect((unreachable, client, release) => {
      if (!client) {
        reject(unreachable!);
        return;
      }
      const answered = (client as unknown as ClientWithTimeout).bound(withinMs);
      const query = new Query(text, values, (error, result) => {
        answered();
        release(isStaleStatement(error));
        if (error) reject(error);
        else resolve(result.rows as Row[]);
      });
      client.query(name === undefined ? query : Object.assign(query, { name }));
    });
  });
}

/** A statement that PostgreSQL parses and plans once a connection. */
export interface PreparedStatement {
  readonly name: string;
  readonly text: string;
}

/** Names the statement after its text, because a connection keeps one text for a name. */
export function prepared(text: string): PreparedStatement {
  return { name: createHash('sha256').update(text).digest('base64url'), text };
}

/**
 * Runs a prepared statement: in the manager's transaction when it has one, else on a connection of the pool. TypeORM's own
 * `query` plans each time anew: 0.2 ms for the statement that applies a batch, more than applying ten rows takes.
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

/** Longest statement of upkeep, ms: rewriting a large table that was adopted, or waiting for the lock of another program's. */
const MAINTENANCE_TIMEOUT_MS = 3_600_000;

/**
 * Runs `work` on one connection whose statements may take an hour each: migrations and upkeep, which are slow where tables are
 * large, and for which nobody waits.
 */
export async function withMaintenanceTimeout<T>(dataSource: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner();
  try {
    const client = (await runner.connect()) as ClientWithTimeout;
    await runner.query(`SET statement_timeout = ${MAINTENANCE_TIMEOUT_MS}`);
    return await client.within(MAINTENANCE_TIMEOUT_MS, () => work(runner.manager));
  } finally {
    if (!runner.isReleased) await runner.query('RESET statement_timeout').catch(() => undefined);
    await runner.release();
  }
}

import type { DataSourceOptions } from 'typeorm';
import { type DatabaseSettings, DEFAULT_TIMINGS, type PostgresTimings } from '#config';
import { ClientWithTimeout } from './client.js';
import { PINNED_SEARCH_PATH } from './search-path.js';
import { SessionClient, type SessionSettings } from './session-client.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** Name of the service's sessions in pg_stat_activity and in the change log's application_name. */
export const APPLICATION_NAME = 'subscription-sync';

/** Name of the schema that holds everything of the service in both databases, apart from the users' own tables. */
export const SCHEMA = 'subscription_sync';

/** Returns the options for DB1; its statement timeout is short, because requests wait for it. */
export function db1ConnectionOptions(settings: DatabaseSettings, timings = DEFAULT_TIMINGS.postgres): PostgresOptions {
  return connection(settings, timings.db1StatementTimeoutMs, timings);
}

/**
 * Returns the options for DB2; its statement timeout is longer, because a batch may be slow. A batch that waits for another program's lock is
 * cancelled and retried until the lock is released.
 */
export function db2ConnectionOptions(settings: DatabaseSettings, timings = DEFAULT_TIMINGS.postgres): PostgresOptions {
  return connection(settings, timings.db2StatementTimeoutMs, timings, BY_INDEX);
}

/**
 * All statements in DB2 find rows by their keys, and a connection keeps its plans. A plan that was made while the table was small would read
 * the whole table, for each batch, after it has grown, until PostgreSQL analyses it. So rows are always found through an index.
 */
const BY_INDEX = { enable_seqscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off' };

/**
 * Settings on which the service relies, and which a database or a role may have changed. Values are read, shown, compared, hashed and sent as text, so
 * all sessions use one format; the names of types are read as text too, and have their schema if it is not pg_catalog. Transactions read what was committed before each statement, and wait for
 * locks as long as their statement may take.
 */
const PINNED = {
  search_path: PINNED_SEARCH_PATH,
  TimeZone: 'UTC',
  DateStyle: 'ISO,MDY',
  IntervalStyle: 'postgres',
  extra_float_digits: 1,
  bytea_output: 'hex',
  lc_monetary: 'C',
  xmlbinary: 'base64',
  xmloption: 'content',
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  row_security: 'on',
  lock_timeout: 0,
  statement_timeout: 0,
  idle_in_transaction_session_timeout: 0,
  idle_session_timeout: 0,
};

/** Returns a client for a command, which runs few statements, with a timeout (ms) for each and for connecting. */
export function commandClient({ host, port, user, password, database, tls }: DatabaseSettings, timeoutMs: number): SessionClient {
  const session = { application_name: APPLICATION_NAME, ...PINNED };
  const timeouts = { connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs };
  return new SessionClient({ host, port, user, password, database, tls, session, ...timeouts });
}

/** Returns the startup options of a session of the database itself, with what is pinned and with `settings`. */
export function sessionOptions(settings: SessionSettings = {}): string {
  return Object.entries({ ...PINNED, ...settings })
    .map(([name, value]) => `-c ${name}=${String(value).replaceAll(' ', '\\ ')}`)
    .join(' ');
}

/**
 * How fast the server gives up a connection whose other end is gone or hangs: it would keep the locks of an open transaction, and the
 * next process's batches would wait for them. PostgreSQL's own defaults are hours.
 */
const KEEPALIVES = { tcp_keepalives_idle: 30, tcp_keepalives_interval: 5, tcp_keepalives_count: 6 };

function connection(
  settings: DatabaseSettings,
  statementTimeoutMs: number,
  timings: PostgresTimings,
  planner: SessionSettings = {},
): PostgresOptions {
  const { host, port, user, password, database, poolSize, tls } = settings;
  const session: SessionSettings = {
    // Not a startup parameter: the sessions of a pooler would keep it after the service has ended.
    application_name: APPLICATION_NAME,
    ...PINNED,
    // Compiling a statement takes longer than any of the service's statements runs.
    jit: 'off',
    ...planner,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: timings.idleInTransactionTimeoutMs,
    ...KEEPALIVES,
  };
  return {
    type: 'postgres',
    host,
    port,
    username: user,
    password,
    database,
    poolSize,
    // TypeORM's default logger prints failed migrations on stdout, bypassing the service's log; this one is silent unless DEBUG is set.
    logger: 'debug',
    // Versions stay far below 2^53, so they fit into numbers, which is what JSON carries.
    parseInt8: true,
    // TypeORM keeps its table of migrations there.
    schema: SCHEMA,
    migrationsTableName: 'migrations',
    migrationsTransactionMode: 'all',
    extra: {
      Client: ClientWithTimeout,
      tls,
      statementTimeoutMs,
      answerGraceMs: timings.answerGraceMs,
      probeIntervalMs: timings.probeIntervalMs,
      connectionTimeoutMillis: timings.connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      session,
    },
  };
}

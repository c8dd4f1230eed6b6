import type { DataSourceOptions } from 'typeorm';
import type { DatabaseSettings } from '#config';
import { ClientWithTimeout } from './client.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** What is seen of us in pg_stat_activity and in the log's application_name. */
export const APPLICATION_NAME = 'subscription-sync';

/**
 * Longest statement, ms. DB1 answers requests, which must not wait. A batch for DB2 may be slow; one that waits for another
 * program's lock is cancelled and tried again until the lock is gone.
 */
const STATEMENT_MS = { db1: 10_000, db2: 60_000 };

/**
 * What the server does about a connection whose other end is gone or stands still: it would keep the locks of an open transaction,
 * and the next one's batches would wait for them. PostgreSQL's own defaults are hours.
 */
const LOST_CLIENT_TIMEOUTS = {
  idle_in_transaction_session_timeout: 30_000,
  tcp_keepalives_idle: 30,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 6,
};

/** Values are shown, compared and hashed as text: one way for all sessions, whatever a database or a role was given for its own. */
const TEXT_FORMAT = { TimeZone: 'UTC', DateStyle: 'ISO', IntervalStyle: 'postgres', extra_float_digits: 1, bytea_output: 'hex' };

export function db1ConnectionOptions(settings: DatabaseSettings): PostgresOptions {
  return connection(settings, STATEMENT_MS.db1);
}

export function db2ConnectionOptions(settings: DatabaseSettings): PostgresOptions {
  return connection(settings, STATEMENT_MS.db2);
}

function connection({ host, port, user, password, database, poolSize }: DatabaseSettings, statementMs: number): PostgresOptions {
  // Compiling a statement takes longer than any of ours runs.
  const session = { ...TEXT_FORMAT, jit: 'off', statement_timeout: statementMs, ...LOST_CLIENT_TIMEOUTS };
  return {
    type: 'postgres',
    host,
    port,
    username: user,
    password,
    database,
    poolSize,
    applicationName: APPLICATION_NAME,
    // TypeORM's own logger prints failed migrations on stdout, past ours; this one is silent unless DEBUG asks for it.
    logger: 'debug',
    // Versions stay far below 2^53: as numbers they are what JSON carries.
    parseInt8: true,
    migrationsTableName: 'subscription_sync_migrations',
    migrationsTransactionMode: 'all',
    extra: {
      Client: ClientWithTimeout,
      statementMs,
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      options: Object.entries(session)
        .map(([name, value]) => `-c ${name}=${value}`)
        .join(' '),
    },
  };
}

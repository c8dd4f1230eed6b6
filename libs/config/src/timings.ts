import type { Backoff } from './backoff.js';

/**
 * All durations after which the service retries, polls, renews or gives up, in ms unless the name says otherwise. One frozen object, injected
 * by {@link TIMINGS}, so that a test can run a whole process with other durations.
 */
export interface Timings {
  readonly postgres: PostgresTimings;
  readonly changeLog: ChangeLogTimings;
  readonly sync: SyncTimings;
  readonly auth: AuthTimings;
}

/** Durations of libs/postgres. */
export interface PostgresTimings {
  /** Pauses between attempts to connect to a database and to migrate it. */
  readonly connectRetry: Backoff;
  /** Timeout (ms) for a new connection. */
  readonly connectTimeoutMs: number;
  /** Timeout (ms) for a statement that a request waits for. */
  readonly requestTimeoutMs: number;
  /** The server's statement_timeout (ms) on pooled connections to DB1. */
  readonly db1StatementTimeoutMs: number;
  /** The server's statement_timeout (ms) on pooled connections to DB2. */
  readonly db2StatementTimeoutMs: number;
  /** How long after a statement's timeout (ms) its connection is destroyed if the server has not answered. */
  readonly answerGraceMs: number;
  /** The server's timeout (ms) for a session that idles in a transaction. */
  readonly idleInTransactionTimeoutMs: number;
  /** Timeout (ms) for a health check. */
  readonly checkTimeoutMs: number;
}

/** Durations of libs/change-log. */
export interface ChangeLogTimings {
  /** Interval (ms) between two maintenance runs of the log's partitions. */
  readonly maintenanceIntervalMs: number;
  /** Pauses before partition maintenance is retried. */
  readonly maintenanceRetry: Backoff;
}

/** Durations of libs/sync. */
export interface SyncTimings {
  /** Interval (ms) at which a standby tries to take the lease. */
  readonly standbyPollMs: number;
  /** Interval (ms) at which the holder renews the lease. */
  readonly leaseRenewMs: number;
  /** Pauses between two capture sessions after an error of DB1, and between attempts to record the rows that existed before the log. */
  readonly sessionRetry: Backoff;
  /** Pauses between attempts to send a batch to Kafka. */
  readonly publishRetry: Backoff;
}

/** Durations of libs/auth. */
export interface AuthTimings {
  /** Window (ms) of the rate limits. Windows are those of the wall clock, and the same in all processes. */
  readonly rateLimitWindowMs: number;
  /** Maximum age (ms) of a cached API key: a revocation is in force everywhere after this time. */
  readonly keyCacheTtlMs: number;
  /** Age (ms) from which a cached API key is read again in the background, so that no request waits for it. */
  readonly keyCacheRefreshMs: number;
  /** Timeout (ms) for a request to the OpenID Connect issuer. */
  readonly oidcTimeoutMs: number;
  /** Pause (ms) after a failed discovery of the issuer's keys before the next attempt. */
  readonly oidcRetryMs: number;
}

export const DEFAULT_TIMINGS: Timings = freeze({
  postgres: {
    connectRetry: { firstMs: 250, longestMs: 5_000 },
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 10_000,
    db1StatementTimeoutMs: 10_000,
    db2StatementTimeoutMs: 60_000,
    answerGraceMs: 2_000,
    idleInTransactionTimeoutMs: 30_000,
    checkTimeoutMs: 2_000,
  },
  changeLog: { maintenanceIntervalMs: 3_600_000, maintenanceRetry: { firstMs: 60_000, longestMs: 60_000 } },
  sync: {
    standbyPollMs: 1_000,
    leaseRenewMs: 2_000,
    sessionRetry: { firstMs: 200, longestMs: 5_000 },
    publishRetry: { firstMs: 100, longestMs: 5_000 },
  },
  auth: { rateLimitWindowMs: 60_000, keyCacheTtlMs: 5_000, keyCacheRefreshMs: 2_500, oidcTimeoutMs: 5_000, oidcRetryMs: 5_000 },
});

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member as object);
  return Object.freeze(value);
}

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
  readonly audit: AuditTimings;
  readonly kafka: KafkaTimings;
  readonly replica: ReplicaTimings;
  readonly reconciliation: ReconciliationTimings;
  readonly observability: ObservabilityTimings;
  readonly replicationStatus: ReplicationStatusTimings;
  readonly subscriptions: SubscriptionsTimings;
  readonly http: HttpTimings;
  readonly importExport: ImportExportTimings;
  readonly changeFeed: ChangeFeedTimings;
  readonly erasure: ErasureTimings;
}

/** Durations of libs/erasure. */
export interface ErasureTimings {
  /** Interval (ms) at which requested erasures are looked for. */
  readonly pollMs: number;
  /** Interval (ms) at which erasures that wait for Kafka are looked at. */
  readonly topicPollMs: number;
  /** Time (ms) after an erasure in which a capture that starts again may publish the last changes once more. */
  readonly settleMs: number;
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
  /** Grace period (ms) after a statement's timeout, after which its connection is destroyed if the server has not answered. */
  readonly answerGraceMs: number;
  /** Interval (ms) at which the server is asked, over another connection, whether it is still busy with a statement that may take longer than three of them. */
  readonly probeIntervalMs: number;
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
  /** Timeout (ms) for a new session with DB1. */
  readonly connectTimeoutMs: number;
  /** The server's statement_timeout (ms) for the lease's session. Reading a chunk of the log takes milliseconds. */
  readonly statementTimeoutMs: number;
  /** Timeout (ms) for an answer of DB1, after which the session is given up. Longer than `statementTimeoutMs`, so that a slow server reports it. */
  readonly answerTimeoutMs: number;
  /** Timeout (ms) for the lease's session: PostgreSQL ends it when it is silent, or does not read, for four renewals of the lease. */
  readonly sessionIdleTimeoutMs: number;
  /** Timeout (ms) for ending a session with DB1 properly. */
  readonly disconnectTimeoutMs: number;
  /** Grace period (ms) for background tasks when a session ends; they may be blocked on another program's lock. */
  readonly backgroundGraceMs: number;
  /** Timeout (ms) for acquiring the lease to decommission the service: a process that is stopped or cut off loses the lease within 8 s. */
  readonly decommissionTimeoutMs: number;
  /** Interval (ms) at which `CAPTURE=auto` tries `wal` again while it captures by `poll`. */
  readonly walRetryMs: number;
  /** The server's wal_sender_timeout (ms): it ends a stream whose reader was silent for this long. */
  readonly senderTimeoutMs: number;
  /** Timeout (ms) for the next message of the stream, after which DB1 is queried whether the stream exists; keep-alives are requested every 2 s. */
  readonly streamCheckMs: number;
  /** Timeout (ms) for a silent stream, after which it is closed. A server that sorts a huge transaction may be silent for a while. */
  readonly streamSilenceTimeoutMs: number;
  /** Time (ms) after a batch in which changes gather for the next one, unless they fill it. */
  readonly gatherMs: number;
  /** Interval (ms) at which the position is stored while published changes are not covered by the stored one. */
  readonly checkpointBusyMs: number;
  /** Interval (ms) at which the position is stored while nothing is published. */
  readonly checkpointIdleMs: number;
  /** Interval (ms) at which the log is read by SQL while a replication slot is being created. */
  readonly catchUpPollMs: number;
  /** Timeout (ms) for a refusal to create a slot: after that PostgreSQL is creating it. */
  readonly slotRefusalTimeoutMs: number;
  /** Grace period (ms) after a failed attempt to publish. While attempts end with an error, a broker answers, and the watchdog does not restart the role. */
  readonly publishFailureGraceMs: number;
}

/** Durations of libs/auth. */
export interface AuthTimings {
  /** Window (ms) of the rate limits. Windows are those of the wall clock, and the same in all processes. */
  readonly rateLimitWindowMs: number;
  /** Maximum age (ms) of a cached API key: a revocation is in force everywhere after this time. */
  readonly keyCacheTtlMs: number;
  /** Age (ms) from which a cached API key is read again in the background, so that no request waits for it. */
  readonly keyCacheRefreshMs: number;
  /** Interval (ms) at which the credentials of streaming responses and imports are checked. */
  readonly credentialCheckMs: number;
  /** Timeout (ms) for such a check of an API key, after which the response ends. With the interval it is the 5 s that the documents promise. */
  readonly credentialCheckTimeoutMs: number;
  /** Timeout (ms) for a request to the OpenID Connect issuer. */
  readonly oidcTimeoutMs: number;
  /** Pause (ms) after a failed discovery of the issuer's keys before the next attempt. */
  readonly oidcRetryMs: number;
}

/** Durations of libs/audit. */
export interface AuditTimings {
  /** Interval (ms) between two deletions of old entries. */
  readonly pruneIntervalMs: number;
  /** Pauses before a deletion is retried. */
  readonly pruneRetry: Backoff;
}

/** Durations of the HTTP interface (apps/server). */
export interface HttpTimings {
  /** Timeout (ms) for receiving the head of a request. */
  readonly headTimeoutMs: number;
  /** Interval (ms) at which connections are checked for it. Node's default of 30 s would make a timeout of 15 s one of 45 s. */
  readonly headCheckMs: number;
}

/** Durations of libs/kafka. */
export interface KafkaTimings {
  /** Timeout (ms) for opening a connection to a broker. */
  readonly connectTimeoutMs: number;
  /** Timeout (ms) for a request to a broker, after which kafkajs sends it again. */
  readonly requestTimeoutMs: number;
  /** Timeout (ms) after which a connection that returns no byte of an answer is closed; see `destroyWhenUnresponsive`. */
  readonly unresponsiveTimeoutMs: number;
  /**
   * Maximum age (ms) of the list of partitions that producers and consumers cache. A producer that learns of new partitions before the
   * consumer does fills them unread, for kafkajs's default of 5 minutes if nothing else fails.
   */
  readonly metadataMaxAgeMs: number;
  /** Timeout (ms) for disconnecting from a broker that does not answer. */
  readonly disconnectTimeoutMs: number;
  /** Timeout (ms) for connecting and for requests of callers that must not wait long: metrics, comparisons of offsets, health. */
  readonly quickRequestTimeoutMs: number;
  /** Pauses between attempts of the consumer to connect. */
  readonly connectRetry: Backoff;
  /** Pause (ms) before a crashed consumer is replaced. */
  readonly reconnectDelayMs: number;
  /** Maximum time (ms) that a batch may block kafkajs's fetch loop; see `PartitionWorkers`. */
  readonly fetchBlockMs: number;
  /** Maximum time (ms) from the end of a batch until its offset is committed. */
  readonly commitIntervalMs: number;
  /** Pauses before a partition whose batch failed is read again. */
  readonly batchRetry: Backoff;
  /** Pause (ms) before a partition is read again when an operator has to repair something first. */
  readonly stoppedRetryMs: number;
  /** Time (ms) without any progress after which batches in flight count as hung. Longer than a statement in DB2 may take (60 s). */
  readonly stalledAfterMs: number;
}

/** Durations of libs/replica. */
export interface ReplicaTimings {
  /** Time (ms) for which DB2's columns are cached: a column added to both databases travels without a restart. */
  readonly columnCacheMs: number;
  /** Timeout (ms) for all members of the consumer group to rejoin it; also how long a cut-off member keeps its partitions. */
  readonly rebalanceTimeoutMs: number;
  /** Interval (ms) of heartbeats. A member learns of a rebalance from the answer, so partitions that were given back wait this long. */
  readonly heartbeatIntervalMs: number;
  /** Maximum time (ms) that a broker holds an empty fetch. A stop waits for the fetch that is under way. */
  readonly fetchWaitMs: number;
}

/** Durations of libs/reconciliation. */
export interface ReconciliationTimings {
  /** Maximum interval (ms) between checks for continuity gaps and for due runs; also the pause after an error. */
  readonly checkIntervalMs: number;
  /** Maximum time (ms) for which a new capture session waits for a check for continuity gaps before it publishes, and the stop for their evidence. */
  readonly continuityTimeoutMs: number;
  /** Interval (ms) between checks for a requested run. */
  readonly claimIntervalMs: number;
  /** Time (ms) after which another process may take over a run whose lease was not renewed. */
  readonly runLeaseMs: number;
  /** Interval (ms) at which the lease of a run is renewed. */
  readonly runLeaseRenewMs: number;
  /** Minimum age (ms) of a process that starts a scheduled run. */
  readonly firstRunDelayMs: number;
  /** Minimum interval (ms) between two reports of a backfill's progress: each is a commit in DB1. */
  readonly progressIntervalMs: number;
  /** Interval (ms) between checks whether DB2 has applied what was committed. */
  readonly appliedPollMs: number;
  /** Timeout (ms) for transactions that were running when a deletion drew its version; see `repair`. */
  readonly writersTimeoutMs: number;
  /** Interval (ms) between checks whether those transactions have ended. */
  readonly writersPollMs: number;
  /** Minimum interval (ms) between two measurements of the stream's lag by a run. */
  readonly lagCheckIntervalMs: number;
  /** Interval (ms) between measurements of the lag while a run is paused by it. */
  readonly lagPollMs: number;
  /** Maximum time (ms) for which the lag may pause a run; beside a stream that always lags, the run would never end. */
  readonly lagPauseMaxMs: number;
  /** Interval (ms) between checks for room when rows are published again. */
  readonly publishPollMs: number;
  /** Maximum time (ms) to wait for room when rows are published again. */
  readonly publishWaitMaxMs: number;
  /** First interval (ms) between checks whether a canary has reached DB2; it grows by half each time. */
  readonly canaryPollFirstMs: number;
  /** Maximum interval (ms) between checks whether a canary has reached DB2. */
  readonly canaryPollMaxMs: number;
  /** Time (ms) after which a canary counts as late and is no longer waited for. */
  readonly canaryLateMs: number;
}

/** Durations of libs/observability. */
export interface ObservabilityTimings {
  /** Maximum time (ms) for which readiness waits for the roles `sync` and `replica` to be up for the first time. */
  readonly startupMs: number;
  /** Minimum interval (ms) between two samples of the watchdog, which takes ten samples in STALL_TIMEOUT_MS. */
  readonly minSampleIntervalMs: number;
  /** Maximum interval (ms) between two samples of the watchdog. */
  readonly maxSampleIntervalMs: number;
  /** Timeout (ms) for the watchdog's query whether a part is behind. A part that does not answer is not known to be behind. */
  readonly watchdogCheckMs: number;
  /** Timeout (ms) for the restart of a part. */
  readonly partRestartMs: number;
}

/** Durations of libs/replication-status. */
export interface ReplicationStatusTimings {
  /** First and minimum pause (ms) between two queries for the versions that requests wait for. It grows with the time that they wait. */
  readonly minPollMs: number;
  /** Maximum pause (ms) between two queries for the versions that requests wait for. */
  readonly maxPollMs: number;
  /** Pause (ms) after a query that failed. */
  readonly failedPollMs: number;
  /** Time (ms) without another request to Kafka after one that failed: only details of an answer depend on it. */
  readonly kafkaRetryMs: number;
}

/** Durations of libs/subscriptions. */
export interface SubscriptionsTimings {
  /** Interval (ms) between two runs of the maintenance. */
  readonly maintenanceIntervalMs: number;
  /** Pauses before maintenance is retried. */
  readonly maintenanceRetry: Backoff;
}

/** Durations of libs/import-export. */
export interface ImportExportTimings {
  /** Interval (ms) at which a running import saves its progress. */
  readonly saveIntervalMs: number;
  /** Timeout (ms) for the next line of a file. An import whose file sends nothing for longer fails. */
  readonly stalledFileTimeoutMs: number;
  /** Timeout (ms) for the next saved progress, after which a running import counts as interrupted. */
  readonly progressTimeoutMs: number;
  /** Interval (ms) at which the progress of a followed import is read. */
  readonly followPollMs: number;
  /** Interval (ms) of heartbeats on a stream that has nothing else to send. */
  readonly heartbeatMs: number;
}

/** Durations of libs/change-feed. */
export interface ChangeFeedTimings {
  /** Pause (ms) after a read of the end of the log that found events. */
  readonly busyPollMs: number;
  /** Maximum pause (ms) between two reads of the end of the log while they find no events. */
  readonly idlePollMs: number;
  /** Pause (ms) after a failed read of the log. */
  readonly readRetryMs: number;
  /** Interval (ms) at which a new stream checks whether the shared reader has started. */
  readonly joinPollMs: number;
  /** Interval (ms) of heartbeats on a stream that has nothing else to send. */
  readonly heartbeatMs: number;
}

export const DEFAULT_TIMINGS: Timings = freeze({
  postgres: {
    connectRetry: { firstMs: 250, longestMs: 5_000 },
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 10_000,
    db1StatementTimeoutMs: 10_000,
    db2StatementTimeoutMs: 60_000,
    answerGraceMs: 2_000,
    probeIntervalMs: 5_000,
    idleInTransactionTimeoutMs: 30_000,
    checkTimeoutMs: 2_000,
  },
  changeLog: { maintenanceIntervalMs: 3_600_000, maintenanceRetry: { firstMs: 60_000, longestMs: 60_000 } },
  sync: {
    standbyPollMs: 1_000,
    leaseRenewMs: 2_000,
    sessionRetry: { firstMs: 200, longestMs: 5_000 },
    publishRetry: { firstMs: 100, longestMs: 5_000 },
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 8_000,
    answerTimeoutMs: 9_000,
    sessionIdleTimeoutMs: 8_000,
    disconnectTimeoutMs: 1_000,
    backgroundGraceMs: 5_000,
    decommissionTimeoutMs: 12_000,
    walRetryMs: 300_000,
    senderTimeoutMs: 10_000,
    streamCheckMs: 10_000,
    streamSilenceTimeoutMs: 60_000,
    gatherMs: 10,
    checkpointBusyMs: 500,
    checkpointIdleMs: 10_000,
    catchUpPollMs: 250,
    slotRefusalTimeoutMs: 1_000,
    publishFailureGraceMs: 60_000,
  },
  audit: { pruneIntervalMs: 600_000, pruneRetry: { firstMs: 60_000, longestMs: 60_000 } },
  auth: {
    rateLimitWindowMs: 60_000,
    keyCacheTtlMs: 5_000,
    keyCacheRefreshMs: 2_500,
    credentialCheckMs: 1_000,
    credentialCheckTimeoutMs: 4_000,
    oidcTimeoutMs: 5_000,
    oidcRetryMs: 5_000,
  },
  http: { headTimeoutMs: 15_000, headCheckMs: 1_000 },
  kafka: {
    connectTimeoutMs: 3_000,
    requestTimeoutMs: 30_000,
    unresponsiveTimeoutMs: 15_000,
    metadataMaxAgeMs: 5_000,
    disconnectTimeoutMs: 5_000,
    quickRequestTimeoutMs: 2_000,
    connectRetry: { firstMs: 100, longestMs: 5_000, jitter: true },
    reconnectDelayMs: 500,
    fetchBlockMs: 1_000,
    commitIntervalMs: 500,
    batchRetry: { firstMs: 100, longestMs: 10_000, jitter: true },
    stoppedRetryMs: 5_000,
    stalledAfterMs: 90_000,
  },
  replica: { columnCacheMs: 10_000, rebalanceTimeoutMs: 20_000, heartbeatIntervalMs: 1_000, fetchWaitMs: 250 },
  reconciliation: {
    checkIntervalMs: 5_000,
    continuityTimeoutMs: 5_000,
    claimIntervalMs: 1_000,
    runLeaseMs: 15_000,
    runLeaseRenewMs: 5_000,
    firstRunDelayMs: 60_000,
    progressIntervalMs: 250,
    appliedPollMs: 250,
    writersTimeoutMs: 5_000,
    writersPollMs: 5,
    lagCheckIntervalMs: 1_000,
    lagPollMs: 100,
    lagPauseMaxMs: 10_000,
    publishPollMs: 10,
    publishWaitMaxMs: 10_000,
    canaryPollFirstMs: 2,
    canaryPollMaxMs: 250,
    canaryLateMs: 60_000,
  },
  observability: {
    startupMs: 60_000,
    minSampleIntervalMs: 250,
    maxSampleIntervalMs: 5_000,
    watchdogCheckMs: 10_000,
    partRestartMs: 15_000,
  },
  replicationStatus: { minPollMs: 2, maxPollMs: 100, failedPollMs: 250, kafkaRetryMs: 5_000 },
  subscriptions: { maintenanceIntervalMs: 600_000, maintenanceRetry: { firstMs: 60_000, longestMs: 60_000 } },
  importExport: {
    saveIntervalMs: 500,
    stalledFileTimeoutMs: 60_000,
    progressTimeoutMs: 30_000,
    followPollMs: 500,
    heartbeatMs: 15_000,
  },
  changeFeed: { busyPollMs: 10, idlePollMs: 60, readRetryMs: 1_000, joinPollMs: 10, heartbeatMs: 15_000 },
  erasure: { pollMs: 2_000, topicPollMs: 30_000, settleMs: 60_000 },
});

function freeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) freeze(member as object);
  return Object.freeze(value);
}

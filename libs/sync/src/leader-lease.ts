import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import type { DatabaseSettings, SyncTimings } from '#config';
import { APPLICATION_NAME, sessionOptions, transportOf } from '#postgres';

/** Advisory lock of the one active capture of a database. The number is arbitrary and fixed. */
const CAPTURE_LOCK = 7_302_519_002;

/** Application names of the service's sessions. They distinguish a session that was left behind from another program's. */
const LEASE_NAME = `${APPLICATION_NAME}-sync`;
export const READER_NAME = `${APPLICATION_NAME}-capture`;

/**
 * One process captures a database, the others stand by. The lease is an advisory lock of this session, and the checkpoint is written in the
 * same session: a process that has lost the lease cannot write it any more.
 *
 * The lease is renewed by an empty statement every 2 s. A holder that is stopped or cut off sends none, so PostgreSQL ends its session, and
 * with it the lease, 8 s later. A holder that gets no answer gives the lease up itself.
 */
export class LeaderLease {
  readonly client: Client;
  private readonly lost = new AbortController();

  constructor(
    settings: DatabaseSettings,
    private readonly timings: SyncTimings,
    name = LEASE_NAME,
  ) {
    const { statementTimeoutMs, answerTimeoutMs, sessionIdleTimeoutMs } = timings;
    const timeouts = { statement_timeout: statementTimeoutMs, query_timeout: answerTimeoutMs };
    this.client = serializeQueries(createClient(settings, name, timings, { idle_session_timeout: sessionIdleTimeoutMs }, timeouts));
    this.client.on('error', (error) => this.lose(error));
    this.client.on('end', () => this.lose(new Error('The connection to DB1 was closed')));
  }

  /** Aborts when the connection, and with it the lease, is gone. */
  get signal(): AbortSignal {
    return this.lost.signal;
  }

  /**
   * Waits as a standby until the lease is free. `onStandby` is called once if it is not free at first. Rejects when `signal` aborts or DB1
   * does not answer.
   */
  async acquire(signal: AbortSignal, onStandby: () => void): Promise<void> {
    await this.client.connect();
    for (let attempts = 0; ; attempts += 1) {
      signal.throwIfAborted();
      const { rows } = await this.client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [CAPTURE_LOCK]);
      if (rows[0]!.taken) break;
      if (attempts === 0) onStandby();
      await delay(this.timings.standbyPollMs, undefined, { signal });
    }
    this.renew().catch((error: unknown) =>
      this.lose(new Error(`the lease was not renewed: ${(error as Error).message}`, { cause: error })),
    );
  }

  async release(): Promise<void> {
    await endClient(this.client, this.timings);
  }

  /** Waits behind the capture's own statements, which have the same timeout. */
  private async renew(): Promise<void> {
    for (;;) {
      await delay(this.timings.leaseRenewMs, undefined, { signal: this.signal });
      await this.client.query('SELECT');
    }
  }

  private lose(error: Error): void {
    if (this.lost.signal.aborted) return;
    this.lost.abort(error);
    // Statements that wait for an answer on this connection fail at once.
    void endClient(this.client, this.timings);
  }
}

/**
 * Creates a client whose every wait has a timeout, unless `more` overrides it. `options` are PostgreSQL's settings for the session.
 *
 * A process that is stopped, or cut off without a reset, keeps its connection: TCP alone notices after hours, and until then PostgreSQL
 * would keep the lease and the slot for it.
 */
export function createClient(
  settings: DatabaseSettings,
  name: string,
  { connectTimeoutMs, sessionIdleTimeoutMs }: SyncTimings,
  options: Readonly<Record<string, string | number>> = {},
  more: ClientConfig = {},
): Client {
  const { host, port, user, password, database, tls } = settings;
  const keepAlive = { keepAlive: true };
  return new Client({
    host,
    port,
    user,
    password,
    database,
    ...keepAlive,
    ...transportOf(tls, keepAlive),
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: name,
    options: sessionOptions({ tcp_user_timeout: sessionIdleTimeoutMs, ...options }),
    ...more,
  });
}

/** Ends the connection, even if its other end has vanished: pg would wait for it until TCP gives up. */
export async function endClient(client: Client, { disconnectTimeoutMs }: SyncTimings): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), disconnectTimeoutMs);
  try {
    await client.end();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Makes a client that several callers share run one statement after another: each waits until those before it have succeeded or failed. pg
 * queues statements itself, but warns of it in the service's log, and stops queueing in version 9. Works for statements that return a promise.
 */
function serializeQueries(client: Client): Client {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  let previous: Promise<unknown> = Promise.resolve();
  const enqueue = (...args: unknown[]): Promise<unknown> => {
    const answer = previous.then(() => query(...args));
    previous = answer.catch(() => undefined);
    return answer;
  };
  return Object.assign(client, { query: enqueue });
}

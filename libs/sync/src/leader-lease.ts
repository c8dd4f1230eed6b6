import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import type { DatabaseSettings, SyncTimings } from '#config';
import { APPLICATION_NAME, hasSqlstate, sessionOptions, SQLSTATE, transportOf } from '#postgres';

/** Advisory lock of the one active capture of a database. The number is arbitrary and fixed. */
const CAPTURE_LOCK = 7_302_519_002;

/** SQL condition: a process captures this database. PostgreSQL shows the halves of an advisory lock's number. */
export const HOLDS_LEASE = `EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = ${CAPTURE_LOCK}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`;

/** Application names of the service's sessions. They distinguish a session that was left behind from another program's. */
const LEASE_NAME = `${APPLICATION_NAME}-sync`;
export const READER_NAME = `${APPLICATION_NAME}-capture`;
/** A setting of our own. A pooler that ignores the settings of a new connection ignores it, too. */
const OWN_SESSION = 'subscription_sync.own_session';

/**
 * One process captures a database, the others stand by. The lease is an advisory lock of this session, and the checkpoint is written in the
 * same session: a process that has lost the lease cannot write it any more.
 *
 * The lease is renewed every 2 s by a statement that asks for the session's process. A holder that is stopped or cut off sends none, so PostgreSQL ends its session, and
 * with it the lease, 8 s later. A holder that gets no answer gives the lease up itself.
 *
 * A pooler lends sessions for one transaction, and the lease with them: two processes would hold it. So it is refused.
 */
export class LeaderLease {
  readonly client: Client;
  /** The server's process of the session. */
  private pid = 0;
  private readonly lost = new AbortController();

  constructor(
    private readonly settings: DatabaseSettings,
    private readonly timings: SyncTimings,
    name = LEASE_NAME,
  ) {
    const options = { idle_session_timeout: timings.sessionIdleTimeoutMs, [OWN_SESSION]: 'yes' };
    this.client = serializeQueries(createClient(settings, name, timings, options, timeoutsOf(timings)));
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
    await this.connect();
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

  /** Connects without taking the lease. @throws Error that names the setting when a pooler answers. */
  async connect(): Promise<void> {
    try {
      await this.client.connect();
    } catch (error) {
      if (!hasSqlstate(error, SQLSTATE.protocolViolation) || !/unsupported startup parameter/.test(error.message)) throw error;
      throw this.poolerError(error);
    }
    const { rows } = await this.client.query<{ pid: number; isOwn: boolean | null }>(
      `SELECT pg_backend_pid() AS pid, current_setting('${OWN_SESSION}', true) = 'yes' AS "isOwn"`,
    );
    const { pid, isOwn } = rows[0]!;
    this.pid = pid;
    // Proxies that forward a session invent the number that the client is told, too.
    const { processID } = this.client as unknown as { readonly processID: number };
    if (!isOwn || (pid !== processID && (await this.isLent()))) throw this.poolerError();
  }

  /** Whether a second connection gets this session, or this one another when the second is busy. A pooler lends what was used last. */
  private async isLent(): Promise<boolean> {
    const other = createClient(this.settings, LEASE_NAME, this.timings, {}, timeoutsOf(this.timings));
    other.on('error', () => undefined);
    try {
      await other.connect();
      await other.query('BEGIN');
      return (await pidOf(other)) === this.pid || (await pidOf(this.client)) !== this.pid;
    } catch {
      // It got no session while this one was idle, so this one is not lent. A renewal would notice otherwise.
      return false;
    } finally {
      await endClient(other, this.timings);
    }
  }

  private poolerError(cause?: Error): Error {
    const address = this.settings.direct ? 'DB1_DIRECT_URL leads to' : 'DB1 is reached through';
    return new Error(
      `${address} a pooler, which cannot give the capture a session of its own: set DB1_DIRECT_URL to the address of the database itself`,
      { cause },
    );
  }

  /** Waits behind the capture's own statements, which have the same timeout. */
  private async renew(): Promise<void> {
    for (;;) {
      await delay(this.timings.leaseRenewMs, undefined, { signal: this.signal });
      if ((await pidOf(this.client)) !== this.pid) throw this.poolerError();
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
  const { host, port, user, password, database, tls } = settings.direct ?? settings;
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

/** Returns why the capture cannot have a session of its own with DB1, in one sentence with what to do; undefined if it can. */
export async function findSessionProblem(db1: DatabaseSettings, timings: SyncTimings): Promise<string | undefined> {
  const lease = new LeaderLease(db1, timings);
  try {
    await lease.connect();
    return undefined;
  } catch (error) {
    return `the capture cannot connect: ${(error as Error).message}`;
  } finally {
    await lease.release().catch(() => undefined);
  }
}

function timeoutsOf({ statementTimeoutMs, answerTimeoutMs }: SyncTimings): ClientConfig {
  return { statement_timeout: statementTimeoutMs, query_timeout: answerTimeoutMs };
}

async function pidOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]!.pid;
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

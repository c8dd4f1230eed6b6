import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig } from 'pg';
import type { DatabaseSettings, SyncTimings } from '#config';
import { APPLICATION_NAME } from '#postgres';

/** Advisory lock of the one active capture of a database: any fixed number of our own. */
const CAPTURE_LOCK = 7_302_519_002;

/**
 * One capture a database, others stand by. The lease is an advisory lock of this connection, and the checkpoint is written
 * through the same connection: who has lost the lease can't write it any more.
 *
 * It is renewed by asking something every 2 s. A holder that is stopped or cut off doesn't, and PostgreSQL ends its session, and
 * with it the lease, 8 s later. A holder that gets no answer gives the lease up itself.
 */
export class LeaderLease {
  readonly client: Client;
  private readonly lost = new AbortController();

  constructor(
    settings: DatabaseSettings,
    private readonly timings: SyncTimings,
  ) {
    const bounds = { statement_timeout: LIMITS.statement, query_timeout: LIMITS.answer };
    this.client = serializeQueries(clientOf(settings, LEASE_NAME, { idle_session_timeout: LIMITS.silence }, bounds));
    this.client.on('error', (error) => this.lose(error));
    this.client.on('end', () => this.lose(new Error('The connection to DB1 was closed')));
  }

  /** Aborts when the connection, and with it the lease, is gone. */
  get signal(): AbortSignal {
    return this.lost.signal;
  }

  /**
   * Waits as a standby until the lease is free. `onStandby` is called once when it isn't at first. Rejects when `signal` aborts, or
   * DB1 does not answer.
   */
  async acquire(signal: AbortSignal, onStandby: () => void): Promise<void> {
    await this.client.connect();
    for (let tries = 0; ; tries += 1) {
      signal.throwIfAborted();
      const { rows } = await this.client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [CAPTURE_LOCK]);
      if (rows[0]!.taken) break;
      if (tries === 0) onStandby();
      await delay(this.timings.standbyPollMs, undefined, { signal });
    }
    this.renew().catch((error: unknown) =>
      this.lose(new Error(`the lease was not renewed: ${(error as Error).message}`, { cause: error })),
    );
  }

  async release(): Promise<void> {
    await endClient(this.client);
  }

  /** Waits behind the capture's own statements, whose bound is the same. */
  private async renew(): Promise<void> {
    for (;;) {
      await delay(this.timings.leaseRenewMs, undefined, { signal: this.signal });
      await this.client.query('SELECT');
    }
  }

  private lose(error: Error): void {
    if (this.lost.signal.aborted) return;
    this.lost.abort(error);
    // Whoever waits for an answer on this connection is told at once.
    void endClient(this.client);
  }
}

/**
 * Bounds of a session with DB1, ms. A process that is stopped, or cut off without a reset, keeps its connection: TCP alone notices
 * after hours, and as long PostgreSQL would keep the lease and the slot for it.
 */
const LIMITS = {
  connect: 5_000,
  /** PostgreSQL cancels a statement after this. Chunks of the log take milliseconds. */
  statement: 8_000,
  /** No answer after this: DB1 is cut off. Longer than `statement`, so that a slow server gets to say so itself. */
  answer: 9_000,
  /** PostgreSQL ends a session that asks nothing, or doesn't take what was sent to it, for so long. Four renewals of the lease. */
  silence: 8_000,
  /** Saying goodbye is politeness. */
  goodbye: 1_000,
} as const;

/** Application names: by them a session of ours that was left behind is told from another program's. */
const LEASE_NAME = `${APPLICATION_NAME}-sync`;
export const READER_NAME = `${APPLICATION_NAME}-capture`;

/** A connection whose every wait is bounded, unless `more` says otherwise. `options`: PostgreSQL's settings for this session. */
export function clientOf(
  settings: DatabaseSettings,
  name: string,
  options: Readonly<Record<string, string | number>>,
  more: ClientConfig,
): Client {
  return new Client({
    ...settings,
    keepAlive: true,
    connectionTimeoutMillis: LIMITS.connect,
    application_name: name,
    options: Object.entries({ TimeZone: 'UTC', tcp_user_timeout: LIMITS.silence, ...options })
      .map(([setting, value]) => `-c ${setting}=${value}`)
      .join(' '),
    ...more,
  });
}

/** Ends the connection, also one whose other end has vanished: pg would wait for it until TCP gives up. */
export async function endClient(client: Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), LIMITS.goodbye);
  try {
    await client.end();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A client that several parts ask, each without knowing of the others: every statement waits here until those before it are
 * answered or refused. pg queues them itself, warns of it in the log of whoever runs the service, and stops doing it in version 9.
 * For statements that give a promise.
 */
function serializeQueries(client: Client): Client {
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  let before: Promise<unknown> = Promise.resolve();
  const ask = (...args: unknown[]): Promise<unknown> => {
    const answer = before.then(() => query(...args));
    before = answer.catch(() => undefined);
    return answer;
  };
  return Object.assign(client, { query: ask });
}

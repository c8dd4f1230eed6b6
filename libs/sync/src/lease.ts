import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import type { DatabaseSettings } from '#config';
import { inTurn } from './in-turn.js';
import { clientOf, endClient, LEASE_NAME, LIMITS } from './session.js';

/** Advisory lock of the one active capture of a database: any fixed number of our own. */
const CAPTURE_LOCK = 7_302_519_002;
const STANDBY_POLL_MS = 1_000;
const RENEW_MS = 2_000;

/**
 * One capture a database, others stand by. The lease is an advisory lock of this connection, and the checkpoint is written
 * through the same connection: who has lost the lease can't write it any more.
 *
 * It is renewed by asking something every 2 s. A holder that is stopped or cut off doesn't, and PostgreSQL ends its session, and
 * with it the lease, 8 s later. A holder that gets no answer gives the lease up itself.
 */
export class Lease {
  readonly client: Client;
  private readonly lost = new AbortController();

  constructor(settings: DatabaseSettings) {
    const bounds = { statement_timeout: LIMITS.statement, query_timeout: LIMITS.answer };
    this.client = inTurn(clientOf(settings, LEASE_NAME, { idle_session_timeout: LIMITS.silence }, bounds));
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
      await delay(STANDBY_POLL_MS, undefined, { signal });
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
      await delay(RENEW_MS, undefined, { signal: this.signal });
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

import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import type { DatabaseSettings } from '#config';
import { APPLICATION_NAME } from '#databases';

/** Advisory lock of the one active capture of a database: any fixed number of our own. */
const CAPTURE_LOCK = 7_302_519_002;
const STANDBY_POLL_MS = 1_000;

/**
 * One capture a database, others stand by. The lease is an advisory lock of this connection, and the checkpoint is written
 * through the same connection: who has lost the lease can't write it any more.
 */
export class Lease {
  readonly client: Client;
  private readonly lost = new AbortController();

  constructor(settings: DatabaseSettings) {
    this.client = new Client({
      ...settings,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      application_name: `${APPLICATION_NAME}-sync`,
      options: '-c TimeZone=UTC',
    });
    this.client.on('error', (error) => this.lost.abort(error));
    this.client.on('end', () => this.lost.abort(new Error('The connection to DB1 was closed')));
  }

  /** Aborts when the connection, and with it the lease, is gone. */
  get signal(): AbortSignal {
    return this.lost.signal;
  }

  /** Waits as a standby until the lease is free. `onStandby` is called once when it isn't at first. Rejects when `signal` aborts. */
  async acquire(signal: AbortSignal, onStandby: () => void): Promise<void> {
    await this.client.connect();
    for (let tries = 0; ; tries += 1) {
      signal.throwIfAborted();
      const { rows } = await this.client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [CAPTURE_LOCK]);
      if (rows[0]!.taken) return;
      if (tries === 0) onStandby();
      await delay(STANDBY_POLL_MS, undefined, { signal });
    }
  }

  async release(): Promise<void> {
    await this.client.end();
  }
}

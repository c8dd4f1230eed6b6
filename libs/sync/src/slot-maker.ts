import type { Client } from 'pg';
import type { DatabaseSettings } from '#config';
import { clientOf, endClient, READER_NAME } from './session.js';

/**
 * Makes a replication slot on a connection of its own. PostgreSQL waits there for all transactions that are open, however long
 * they stay open; the log can be read by SQL meanwhile.
 */
export class SlotMaker {
  /** Rejects with what PostgreSQL answers. A refusal comes at once, before the waiting. */
  readonly made: Promise<void>;
  isMade = false;
  readonly since = Date.now();
  private readonly client: Client;

  constructor(settings: DatabaseSettings, name: string) {
    this.client = clientOf(settings, READER_NAME, {}, {});
    // A broken connection fails the statement too.
    this.client.on('error', () => undefined);
    this.made = this.make(name);
    // Nobody may be waiting when it fails.
    this.made.catch(() => undefined);
  }

  /** Ends the making, too: PostgreSQL drops a slot that is not finished. */
  async close(): Promise<void> {
    await endClient(this.client);
  }

  private async make(name: string): Promise<void> {
    try {
      await this.client.connect();
      // Where the platform can't do it, a waiting backend outlives us, and the next holder of the lease ends it.
      await this.client.query('SET client_connection_check_interval = 1000').catch(() => undefined);
      await this.client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [name]);
      this.isMade = true;
    } finally {
      await this.close();
    }
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { BrokerCheck } from '#kafka';
import type { WatchedPart } from '#observability';
import { type Database, DB1 } from '#postgres';
import { READER_NAME } from './leader-lease.js';
import { Publisher } from './publisher.js';
import { Relay } from './relay.js';
import { SyncMetrics } from './sync-metrics.js';

/** A try to publish ends sooner, with an error, when a broker answers at all. */
const FAILED_LATELY_MS = 60_000;

/** How far the server has read and sent the WAL for our reader, and whether a session of ours waits for another program's lock. */
const SERVER_SIDE = `
SELECT (SELECT max(sent_lsn)::text FROM pg_stat_replication WHERE application_name = $1) AS sent,
       EXISTS (
         SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'subscription-sync-%' AND wait_event_type = 'Lock'
       ) AS locked`;

/** The sync role as the watchdog sees it. */
@Injectable()
export class SyncProgress implements WatchedPart {
  readonly name = 'sync';
  private sent = '';

  constructor(
    private readonly relay: Relay,
    private readonly publisher: Publisher,
    private readonly metrics: SyncMetrics,
    private readonly broker: BrokerCheck,
    @Inject(DB1) private readonly db1: Database,
  ) {}

  /**
   * What is on Kafka. While nothing is being published also how far the server has come: after a pause it may read much WAL before
   * it finds a change of ours.
   */
  progress(): string {
    return `${this.metrics.done} ${this.relay.isPublishing ? '' : this.sent}`;
  }

  /** Whether this process captures, DB1 and Kafka answer, and yet the log has changes that are not on Kafka. */
  async isBehind(): Promise<boolean> {
    const { state, failure } = this.relay;
    if (state === 'standby' || state === 'stopped' || (state === 'waiting' && failure !== undefined)) return false;
    if (this.publisher.failure !== undefined && performance.now() - this.publisher.failedAt < FAILED_LATELY_MS) return false;
    await this.broker.check();
    const [server] = await this.db1.query<{ sent: string | null; locked: boolean }>(SERVER_SIDE, [READER_NAME]);
    this.sent = server!.sent ?? '';
    return !server!.locked && (await this.metrics.isBehind());
  }

  /** The session ends and another one begins at the checkpoint, with a new connection to Kafka. */
  restart(): Promise<void> {
    this.publisher.renew();
    this.relay.restart();
    return Promise.resolve();
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { TIMINGS, type Timings } from '#config';
import { BrokerCheck } from '#kafka';
import type { WatchedPart } from '#observability';
import { type Database, DB1 } from '#postgres';
import { READER_NAME } from './leader-lease.js';
import { Publisher } from './publisher.js';
import { Relay } from './relay.js';
import { SyncMetrics } from './sync-metrics.js';

/** How far the server has read and sent the WAL for the capture, and whether a session of the service waits for another program's lock. */
const SERVER_SIDE = `
SELECT (SELECT max(sent_lsn)::text FROM pg_stat_replication WHERE application_name = $1) AS sent,
       EXISTS (
         SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'subscription-sync-%' AND wait_event_type = 'Lock'
       ) AS locked`;

/** Reports the progress of the sync role to the watchdog. */
@Injectable()
export class SyncProgress implements WatchedPart {
  readonly name = 'sync';
  private sentLsn = '';

  constructor(
    private readonly relay: Relay,
    private readonly publisher: Publisher,
    private readonly metrics: SyncMetrics,
    private readonly broker: BrokerCheck,
    @Inject(DB1) private readonly db1: Database,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /**
   * Returns what is on Kafka and, while nothing is being published, also how far the server has read: after a pause it may read much WAL
   * before it finds a change of the log.
   */
  progress(): string {
    return `${this.metrics.done} ${this.relay.isPublishing ? '' : this.sentLsn}`;
  }

  /** Whether this process captures, DB1 and Kafka answer, and the log still has changes that are not on Kafka. */
  async isBehind(): Promise<boolean> {
    const { state, failure } = this.relay;
    if (state === 'standby' || state === 'stopped' || (state === 'waiting' && failure !== undefined)) return false;
    if (this.publisher.failure !== undefined && performance.now() - this.publisher.failedAt < this.timings.sync.publishFailureGraceMs) {
      return false;
    }
    await this.broker.check();
    const [server] = await this.db1.query<{ sent: string | null; locked: boolean }>(SERVER_SIDE, [READER_NAME]);
    this.sentLsn = server!.sent ?? '';
    return !server!.locked && (await this.metrics.isBehind());
  }

  /** Ends the session. Another one begins at the checkpoint, with a new connection to Kafka. */
  restart(): Promise<void> {
    this.publisher.reconnect();
    this.relay.restart();
    return Promise.resolve();
  }
}

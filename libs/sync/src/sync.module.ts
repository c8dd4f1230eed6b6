import { Module, type OnModuleInit } from '@nestjs/common';
import { GracefulShutdown, Health, Watchdog } from '#observability';
import { Publisher, PublisherFactory } from './publisher.js';
import { Relay } from './relay.js';
import { SyncMetrics } from './sync-metrics.js';
import { SyncProgress } from './sync-progress.js';

/** The sync role: reads DB1's change log and publishes it to Kafka. */
@Module({
  providers: [
    Relay,
    SyncMetrics,
    SyncProgress,
    PublisherFactory,
    { provide: Publisher, inject: [PublisherFactory], useFactory: (publishers: PublisherFactory) => publishers.create() },
  ],
  exports: [Relay],
})
export class SyncModule implements OnModuleInit {
  constructor(
    private readonly relay: Relay,
    private readonly publisher: Publisher,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
    private readonly watchdog: Watchdog,
    private readonly progress: SyncProgress,
  ) {}

  onModuleInit(): void {
    this.watchdog.register(this.progress);
    this.shutdown.register({ name: 'publishing what was read from DB1 and storing the position', stop: () => this.relay.stop() });
    this.health.register({ name: 'sync', critical: false, awaitedAtStart: true, check: () => Promise.resolve().then(() => this.report()) });
  }

  private report(): Record<string, unknown> {
    if (this.publisher.failure !== undefined) throw new Error(`publishing waits for Kafka: ${this.publisher.failure}`);
    const { state, failure, capture } = this.relay;
    if (state === 'waiting') throw new Error(`waiting for DB1${failure === undefined ? '' : `: ${failure}`}`);
    if (state === 'standby') return { state, note: 'another session captures DB1' };
    return { state, capture: capture?.mode, ...(capture?.note !== undefined && { note: capture.note }) };
  }
}

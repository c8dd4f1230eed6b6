import { Module, type OnModuleInit } from '@nestjs/common';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { GracefulShutdown, Health, Watchdog } from '#observability';
import { type ProducerFactory, producerFactory, Publisher } from './publisher.js';
import { Relay } from './relay.js';
import { SyncMetrics } from './sync-metrics.js';
import { SyncProgress } from './sync-progress.js';

/** Injection token of the {@link ProducerFactory}. */
const PRODUCER_FACTORY = Symbol('Kafka producers');

/** The sync role: reads DB1's change log and publishes it to Kafka. */
@Module({
  providers: [
    Relay,
    SyncMetrics,
    SyncProgress,
    {
      provide: PRODUCER_FACTORY,
      inject: [SETTINGS, TIMINGS],
      useFactory: (settings: Settings, timings: Timings) => producerFactory(settings.kafka!, timings.kafka),
    },
    {
      provide: Publisher,
      inject: [SETTINGS, TIMINGS, PRODUCER_FACTORY],
      useFactory: ({ kafka }: Settings, timings: Timings, connect: ProducerFactory) => new Publisher(kafka!, timings, connect),
    },
  ],
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

import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { Gauge, Registry } from 'prom-client';
import { SETTINGS, TIMINGS, type Settings } from '#config';
import { BatchStrategy } from '#kafka';
import { Health, GracefulShutdown, Watchdog } from '#observability';
import { DeadLettersController } from './dead-letters.controller.js';
import { DEAD_LETTER_PROVIDERS } from './dead-letters.providers.js';
import { ReplicaProgress } from './replica-progress.js';
import { createReplicaStrategy } from './replica-transport.js';
import { ReplicaController } from './replica.controller.js';

/** The replica role: applies the topic's events to DB2. {@link BatchStrategy} is its transport, for `connectMicroservice({ strategy })`. */
@Module({
  imports: [CqrsModule],
  controllers: [ReplicaController, DeadLettersController],
  providers: [
    ...DEAD_LETTER_PROVIDERS,
    ReplicaProgress,
    { provide: BatchStrategy, inject: [SETTINGS, TIMINGS], useFactory: createReplicaStrategy },
  ],
})
export class ReplicaModule implements OnModuleInit {
  constructor(
    private readonly strategy: BatchStrategy,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
    private readonly watchdog: Watchdog,
    private readonly progress: ReplicaProgress,
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(Registry) private readonly registry: Registry,
  ) {}

  /** In a process that also serves the API, the replica is not critical: a load balancer must not remove the API because of it. */
  onModuleInit(): void {
    const { strategy } = this;
    this.watchdog.register(this.progress);
    this.shutdown.register({ name: 'applying the batches in flight to DB2 and leaving the consumer group', stop: () => strategy.close() });
    const critical = !this.settings.roles.includes('api');
    this.health.register({
      name: 'replica',
      critical,
      awaitedAtStart: true,
      check: () => Promise.resolve().then(() => ({ ...strategy.report() })),
    });
    new Gauge({
      name: 'subscription_sync_replica_stopped',
      help: '1 while nothing is applied until an operator repairs something; /health/ready says what',
      registers: [this.registry],
      collect() {
        this.set(strategy.stopped === undefined ? 0 : 1);
      },
    });
  }
}

import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { Gauge, Registry } from 'prom-client';
import { SETTINGS, type Settings } from '#config';
import { BatchStrategy } from '#kafka';
import { Health, GracefulShutdown, Watchdog } from '#observability';
import { ApplyChanges } from './apply-changes.js';
import { DeadLettersController } from './dead-letters.controller.js';
import { DeadLetters, Redrive } from './dead-letters.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaProgress } from './replica-progress.js';
import { createReplicaStrategy } from './replica-transport.js';
import { ReplicaController } from './replica.controller.js';

/** The replica role: applies the topic's events to DB2. {@link BatchStrategy} is its transport, for `connectMicroservice({ strategy })`. */
@Module({
  controllers: [ReplicaController, DeadLettersController],
  providers: [
    ApplyChanges,
    DeadLetters,
    Redrive,
    ReplicaMetrics,
    ReplicaProgress,
    {
      provide: BatchStrategy,
      inject: [SETTINGS],
      useFactory: (settings: Settings) => createReplicaStrategy(settings.kafka!, settings.db2!),
    },
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

  /** Beside the API the replica is not critical: a load balancer must not take the API away for it. */
  onModuleInit(): void {
    const { strategy } = this;
    this.watchdog.register(this.progress);
    this.shutdown.register({ name: 'applying the batch in hand to DB2 and leaving the consumer group', stop: () => strategy.close() });
    const critical = !this.settings.roles.includes('api');
    this.health.register({ name: 'replica', critical, check: () => Promise.resolve().then(() => ({ ...strategy.report() })) });
    new Gauge({
      name: 'subscription_sync_replica_stopped',
      help: '1 while nothing is applied before a person mends something; /health/ready says what',
      registers: [this.registry],
      collect() {
        this.set(strategy.stopped === undefined ? 0 : 1);
      },
    });
  }
}

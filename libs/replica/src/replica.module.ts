import { Module, type OnModuleInit } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Settings } from '#config';
import { Health } from '#operations';
import { ApplyChanges } from './apply-changes.js';
import { BatchStrategy } from './batch-strategy.js';
import { ReplicaController } from './replica.controller.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { createReplicaStrategy } from './replica-strategy.js';

/** The replica role: applies the topic's events to DB2. {@link BatchStrategy} is its transport, for `connectMicroservice({ strategy })`. */
@Module({
  controllers: [ReplicaController],
  providers: [
    ApplyChanges,
    ReplicaMetrics,
    {
      provide: BatchStrategy,
      inject: [ConfigService],
      useFactory: (config: ConfigService<Settings, true>) => createReplicaStrategy(config.get('kafka', { infer: true })),
    },
  ],
})
export class ReplicaModule implements OnModuleInit {
  constructor(
    private readonly strategy: BatchStrategy,
    private readonly health: Health,
  ) {}

  onModuleInit(): void {
    this.health.register({ name: 'replica', critical: false, check: () => Promise.resolve().then(() => ({ ...this.strategy.report() })) });
  }
}

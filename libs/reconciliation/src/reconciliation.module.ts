import { Module, type OnModuleInit } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { Health, GracefulShutdown } from '#observability';
import { ReplicaTable } from '#replica';
import { PublisherFactory, SyncModule } from '#sync';
import { Canary } from './canary.js';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import { ReconciliationController } from './reconciliation.controller.js';
import { CancelRunHandler, PauseRunHandler, ResumeRunHandler, StartRunHandler } from './run.commands.js';
import { GetRunHandler, ListDifferencesHandler, ListRunsHandler } from './run.queries.js';
import { Runs } from './runs.js';
import { RunScheduler } from './scheduler.js';
import { Throttle } from './throttle.js';

/** Compares DB1 with DB2 and repairs differences. Belongs to the sync role, where DB2 is configured. */
@Module({
  imports: [CqrsModule, SyncModule],
  controllers: [ReconciliationController],
  providers: [
    StartRunHandler,
    PauseRunHandler,
    ResumeRunHandler,
    CancelRunHandler,
    ListRunsHandler,
    GetRunHandler,
    ListDifferencesHandler,
    RunScheduler,
    Runs,
    Throttle,
    ReplicaTable,
    PublisherFactory,
    Canary,
    ReconciliationMetrics,
  ],
})
export class ReconciliationModule implements OnModuleInit {
  constructor(
    private readonly scheduler: RunScheduler,
    private readonly canary: Canary,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    this.shutdown.register({ name: 'sending a canary', stop: () => this.canary.stop() });
    this.shutdown.register({ name: 'comparing DB1 with DB2', stop: () => this.scheduler.stop() });
    this.health.register({
      name: 'reconciliation',
      critical: false,
      check: () => Promise.resolve().then(() => this.scheduler.report()),
    });
  }
}

import { Module, type OnModuleInit } from '@nestjs/common';
import { Health, GracefulShutdown } from '#observability';
import { Canary } from './canary.js';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import { ReconciliationController } from './reconciliation.controller.js';
import { RunCommands } from './run.commands.js';
import { RunQueries } from './run.queries.js';
import { RunScheduler } from './scheduler.js';

/** Comparison of DB1 with DB2. Belongs to the sync role, where DB2 is configured. */
@Module({ controllers: [ReconciliationController], providers: [Canary, RunScheduler, ReconciliationMetrics, RunQueries, RunCommands] })
export class ReconciliationModule implements OnModuleInit {
  constructor(
    private readonly reconciler: RunScheduler,
    private readonly canary: Canary,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
  ) {}

  onModuleInit(): void {
    this.shutdown.register({ name: 'sending a canary', stop: () => this.canary.stop() });
    this.shutdown.register({ name: 'comparing DB1 with DB2', stop: () => this.reconciler.stop() });
    this.health.register({
      name: 'reconciliation',
      critical: false,
      check: () => Promise.resolve().then(() => this.reconciler.report()),
    });
  }
}

import { type DynamicModule, Module, type Provider, type Type } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { AuditModule } from '#audit';
import { AuthModule } from '#auth';
import { ChangeFeedModule } from '#change-feed';
import { configModule, DEFAULT_TIMINGS, type Role, type Settings, type Timings } from '#config';
import { ErasuresModule, ErasureWorkerModule } from '#erasure';
import { ProblemFilter, ProblemsModule, RequestPipe } from '#http';
import { ImportExportModule } from '#import-export';
import { type Tracing, TracingModule } from '#observability';
import { PostgresModule } from '#postgres';
import { ReconciliationModule } from '#reconciliation';
import { ReplicaModule } from '#replica';
import { ReplicationStatusModule } from '#replication-status';
import { databaseConnections } from '#schema';
import { SubscriptionsModule } from '#subscriptions';
import { SyncModule } from '#sync';
import { HealthModule, MetricsModule } from './probes.module.js';

const ROLE_MODULES: Readonly<Record<Role, readonly Type[]>> = {
  api: [SubscriptionsModule, ChangeFeedModule, ReplicationStatusModule, ImportExportModule, ErasuresModule],
  sync: [SyncModule],
  replica: [ReplicaModule],
};

/**
 * Enhancers of all HTTP routes. There is no APP_GUARD: the access check is a hook of Fastify, because it must come before the body is read
 * (ADR 20).
 */
const GLOBAL_ENHANCERS: Provider[] = [
  { provide: APP_PIPE, useClass: RequestPipe },
  { provide: APP_FILTER, useClass: ProblemFilter },
];

/** Combines the modules of the roles in `settings` with the modules that all roles share. */
@Module({})
export class AppModule {
  static forRoot(settings: Settings, timings: Timings = DEFAULT_TIMINGS, tracing?: Tracing): DynamicModule {
    return {
      module: AppModule,
      providers: GLOBAL_ENHANCERS,
      imports: [
        configModule(settings, timings),
        ...(tracing ? [TracingModule.forRoot(tracing)] : []),
        PostgresModule.forRoot(databaseConnections(settings, timings)),
        MetricsModule,
        HealthModule,
        ProblemsModule,
        AuthModule.forRoot(settings),
        AuditModule.forRoot(settings),
        ...settings.roles.flatMap((role) => ROLE_MODULES[role]),
        ...(settings.roles.includes('sync') && settings.db2 ? [ReconciliationModule, ErasureWorkerModule] : []),
      ],
    };
  }
}

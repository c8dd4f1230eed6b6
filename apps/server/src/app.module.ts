import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { AuthModule } from '#auth';
import { ChangeFeedModule } from '#change-feed';
import { configModule, DEFAULT_TIMINGS, type Role, type Settings, type Timings } from '#config';
import { ProblemsModule } from '#http';
import { ImportExportModule } from '#import-export';
import { PostgresModule } from '#postgres';
import { ReconciliationModule } from '#reconciliation';
import { ReplicaModule } from '#replica';
import { ReplicationStatusModule } from '#replication-status';
import { databaseConnections } from '#schema';
import { SubscriptionsModule } from '#subscriptions';
import { SyncModule } from '#sync';
import { HealthModule, MetricsModule } from './probes.module.js';

const ROLE_MODULES: Readonly<Record<Role, readonly Type[]>> = {
  api: [SubscriptionsModule, ChangeFeedModule, ReplicationStatusModule, ImportExportModule],
  sync: [SyncModule],
  replica: [ReplicaModule],
};

/** The roles asked for, over what they share. */
@Module({})
export class AppModule {
  static forRoot(settings: Settings, timings: Timings = DEFAULT_TIMINGS): DynamicModule {
    return {
      module: AppModule,
      imports: [
        configModule(settings, timings),
        PostgresModule.forRoot(databaseConnections(settings, timings)),
        MetricsModule,
        HealthModule,
        ProblemsModule,
        AuthModule.forRoot(settings),
        ...settings.roles.flatMap((role) => ROLE_MODULES[role]),
        ...(settings.roles.includes('sync') && settings.db2 ? [ReconciliationModule] : []),
      ],
    };
  }
}

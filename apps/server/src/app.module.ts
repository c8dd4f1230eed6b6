import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { AccessModule } from '#auth';
import { HistoryModule } from '#change-feed';
import type { Role, Settings } from '#config';
import { ProblemsModule } from '#http';
import { BulkModule } from '#import-export';
import { DatabasesModule } from '#postgres';
import { ReconciliationModule } from '#reconciliation';
import { ReplicaModule } from '#replica';
import { TrackingModule } from '#replication-status';
import { databaseConnections } from '#schema';
import { SubscriptionsModule } from '#subscriptions';
import { SyncModule } from '#sync';
import { HealthModule, MetricsModule } from './probes.module.js';

const ROLE_MODULES: Readonly<Record<Role, readonly Type[]>> = {
  api: [SubscriptionsModule, HistoryModule, TrackingModule, BulkModule],
  sync: [SyncModule],
  replica: [ReplicaModule],
};

/** The roles asked for, over what they share. */
@Module({})
export class AppModule {
  static forRoot(settings: Settings): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, ignoreEnvVars: true, load: [() => settings] }),
        DatabasesModule.forRoot(databaseConnections(settings)),
        MetricsModule,
        HealthModule,
        ProblemsModule,
        AccessModule.forRoot(settings),
        ...settings.roles.flatMap((role) => ROLE_MODULES[role]),
        ...(settings.roles.includes('sync') && settings.db2 ? [ReconciliationModule] : []),
      ],
    };
  }
}

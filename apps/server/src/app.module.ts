import { Module, type DynamicModule } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { AccessModule } from '#access';
import type { Settings } from '#config';
import { DatabasesModule } from '#databases';
import { HealthModule, MetricsModule, ProblemsModule } from '#operations';
import { ReconciliationModule } from '#reconciliation';
import { ReplicaModule } from '#replica';
import { SubscriptionsModule } from '#subscriptions';
import { SyncModule } from '#sync';

const ROLE_MODULES = { api: SubscriptionsModule, sync: SyncModule, replica: ReplicaModule } as const;

/** The roles asked for, over what they share. */
@Module({})
export class AppModule {
  static forRoot(settings: Settings): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, ignoreEnvVars: true, load: [() => settings] }),
        DatabasesModule.forRoot(settings),
        MetricsModule,
        HealthModule,
        ProblemsModule,
        AccessModule.forRoot(settings),
        ...settings.roles.map((role) => ROLE_MODULES[role]),
        ...(settings.roles.includes('sync') && settings.db2 ? [ReconciliationModule] : []),
      ],
    };
  }
}

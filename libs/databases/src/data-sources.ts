import type { DatabaseSettings } from '#config';
import type { DataSourceOptions } from 'typeorm';
import { CreateChangeLog1763900000000 } from './db1/create-change-log.migration.js';
import { KeepUnpublishable1764000000000 } from './db1/keep-unpublishable.migration.js';
import { Reconcile1764100000000 } from './db1/reconcile.migration.js';
import { Subscription } from './db1/subscription.entity.js';
import { SubscriptionChange } from './db1/subscription-change.entity.js';
import { CreateReplica1763900000000 } from './db2/create-replica.migration.js';
import { WatchPositions1764100000000 } from './db2/watch-positions.migration.js';
import { WorkOnDeadLetters1764000000000 } from './db2/work-on-dead-letters.migration.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** What is seen of us in pg_stat_activity and in the log's application_name. */
export const APPLICATION_NAME = 'subscription-sync';

export function db1Options(settings: DatabaseSettings): PostgresOptions {
  return {
    ...connection(settings),
    entities: [Subscription, SubscriptionChange],
    migrations: [CreateChangeLog1763900000000, KeepUnpublishable1764000000000, Reconcile1764100000000],
  };
}

export function db2Options(settings: DatabaseSettings): PostgresOptions {
  return { ...connection(settings), migrations: [CreateReplica1763900000000, WorkOnDeadLetters1764000000000, WatchPositions1764100000000] };
}

function connection({ host, port, user, password, database, poolSize }: DatabaseSettings): PostgresOptions {
  return {
    type: 'postgres',
    host,
    port,
    username: user,
    password,
    database,
    poolSize,
    applicationName: APPLICATION_NAME,
    // TypeORM's own logger prints failed migrations on stdout, past ours; this one is silent unless DEBUG asks for it.
    logger: 'debug',
    // Versions stay far below 2^53: as numbers they are what JSON carries.
    parseInt8: true,
    migrationsTableName: 'subscription_sync_migrations',
    migrationsTransactionMode: 'all',
    extra: {
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      // Times are shown, compared and hashed as text: one zone for all sessions.
      options: '-c TimeZone=UTC',
    },
  };
}

import { type DynamicModule, Global, Inject, Module, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { TIMINGS, type Timings } from '#config';
import { Database, type DatabasePreparation } from './database.js';

/** Injection tokens of the two databases ({@link Database}). A database that no role uses has no provider. */
export const DB1 = 'db1';
export const DB2 = 'db2';

const DATABASES = Symbol('databases in use');

export interface DatabaseConnection extends DatabasePreparation {
  readonly name: typeof DB1 | typeof DB2;
  readonly options: DataSourceOptions;
}

/** Provides the databases that the roles use ({@link DB1}, {@link DB2}), connected in the background. */
@Global()
@Module({})
export class PostgresModule implements OnModuleInit, OnModuleDestroy {
  constructor(@Inject(DATABASES) private readonly databases: Database[]) {}

  static forRoot(used: readonly DatabaseConnection[]): DynamicModule {
    return {
      module: PostgresModule,
      imports: used.map(({ name, options }) => typeOrm(name, options)),
      providers: [
        ...used.map(({ name, expectFit, prepare }) => ({
          provide: name,
          inject: [getDataSourceToken(name), TIMINGS],
          useFactory: (dataSource: DataSource, timings: Timings) =>
            new Database(name, dataSource, timings.postgres, { expectFit, prepare }),
        })),
        { provide: DATABASES, inject: used.map(({ name }) => name), useFactory: (...databases: Database[]) => databases },
      ],
      exports: used.map(({ name }) => name),
    };
  }

  onModuleInit(): void {
    for (const database of this.databases) database.start();
  }

  /** Stops connecting before the roles stop: a role may be waiting for its database. */
  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.databases.map((database) => database.stopConnecting()));
  }
}

/** {@link Database} connects, not TypeORM's module: otherwise a database that is down would keep the process from starting. */
function typeOrm(name: string, options: DataSourceOptions): DynamicModule {
  return TypeOrmModule.forRoot({ ...options, name, manualInitialization: true });
}

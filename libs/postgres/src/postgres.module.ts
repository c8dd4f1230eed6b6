import { type DynamicModule, Global, Inject, Module, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { TIMINGS, type Timings } from '#config';
import { Database } from './database.js';

/** Injection tokens of the two databases ({@link Database}). A role that does not use one does not have it. */
export const DB1 = 'db1';
export const DB2 = 'db2';

const CONNECTED = Symbol('databases in use');

/** One database connection: its options, and what to do after its migrations at every start. */
export interface DatabaseConnection {
  readonly name: typeof DB1 | typeof DB2;
  readonly options: DataSourceOptions;
  readonly prepare: (dataSource: DataSource) => Promise<void>;
}

/** The TypeORM connections of the roles asked for, connected in the background. */
@Global()
@Module({})
export class PostgresModule implements OnModuleInit, OnModuleDestroy {
  constructor(@Inject(CONNECTED) private readonly databases: Database[]) {}

  static forRoot(used: readonly DatabaseConnection[]): DynamicModule {
    return {
      module: PostgresModule,
      imports: used.map(({ name, options }) => typeOrm(name, options)),
      providers: [
        ...used.map(({ name, prepare }) => ({
          provide: name,
          inject: [getDataSourceToken(name), TIMINGS],
          useFactory: (dataSource: DataSource, timings: Timings) => new Database(name, dataSource, prepare, timings.postgres),
        })),
        { provide: CONNECTED, inject: used.map(({ name }) => name), useFactory: (...databases: Database[]) => databases },
      ],
      exports: used.map(({ name }) => name),
    };
  }

  onModuleInit(): void {
    for (const database of this.databases) database.start();
  }

  /** Before any role is asked to finish: a role may be waiting for its database. */
  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.databases.map((database) => database.stopConnecting()));
  }
}

/** manualInitialization: connecting is {@link Database}'s business, or a database that is down would keep the process from starting. */
function typeOrm(name: string, options: DataSourceOptions): DynamicModule {
  return TypeOrmModule.forRoot({ ...options, name, manualInitialization: true });
}

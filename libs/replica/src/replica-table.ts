import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type MappingSettings, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import {
  describeTable,
  isPostgresError,
  isUnavailable,
  prepared,
  type PreparedStatement,
  queryOf,
  type SubscriptionTable,
} from '#postgres';
import { buildApplyStatement, buildReadStatement } from './apply-statement.js';
import { classifyError } from './failure-policy.js';
import { replicatedColumns, SchemaDriftError } from './replicated-columns.js';

/** Caches the description of DB2's table, and the statements that apply batches to it. */
@Injectable()
export class ReplicaTable {
  private table: SubscriptionTable | undefined;
  private cachedUntil = 0;
  private readonly statements = new Map<string, PreparedStatement>();
  private readonly cacheMs: number;
  private readonly mapping: MappingSettings;

  constructor(@Inject(TIMINGS) timings: Pick<Timings, 'replica'>, @Inject(SETTINGS) settings: Pick<Settings, 'mapping'>) {
    this.cacheMs = timings.replica.columnCacheMs;
    this.mapping = settings.mapping;
  }

  /** The name of the email in the events' image. */
  get keyColumn(): string {
    return this.mapping.db1.key;
  }

  /** Returns the statement for rows whose image has the columns `image`; see `buildApplyStatement`. @throws SchemaDriftError */
  async applyStatement(manager: EntityManager, image: readonly string[] | undefined, position: boolean): Promise<PreparedStatement> {
    const table = await this.current(manager);
    const key = `${position} ${image?.join()}`;
    const known = this.statements.get(key);
    if (known) return known;
    const columns = replicatedColumns(table, this.mapping, image && new Set(image));
    const statement = prepared(buildApplyStatement(table, columns, position));
    this.statements.set(key, statement);
    return statement;
  }

  /**
   * Returns the class of the error if it is about the values of the rows, or undefined: it is about the table, or may not come again. A type
   * refuses a value with any SQLSTATE: hstore with that of a syntax error, regclass with that of a missing table. So an error that
   * does not tell is about the values when these rows can not be read by the types of the columns, and no rows can. `image` and `rows` are what was applied.
   */
  async refusalOf(manager: EntityManager, error: unknown, image: readonly string[] | undefined, rows: string): Promise<string | undefined> {
    const failure = classifyError(error);
    if (failure.action === 'dead-letter') return failure.errorClass;
    if (!isPostgresError(error) || isUnavailable(error) || image === undefined) return undefined;
    const table = await this.current(manager);
    const statement = buildReadStatement(table, replicatedColumns(table, this.mapping, new Set(image)));
    const reads = (text: string): Promise<boolean> =>
      manager
        .transaction((part) => part.query(statement, [text]))
        .then(
          () => true,
          (unread: unknown) => {
            if (!isPostgresError(unread) || isUnavailable(unread)) throw unread;
            return false;
          },
        );
    return !(await reads(rows)) && (await reads('[]')) ? error.code : undefined;
  }

  /** Discards the cached description. Called after an error: the table may have changed. */
  forget(): void {
    this.cachedUntil = 0;
  }

  private async current(manager: EntityManager): Promise<SubscriptionTable> {
    if (performance.now() > this.cachedUntil) {
      this.table = await this.describe(manager);
      this.statements.clear();
      this.cachedUntil = performance.now() + this.cacheMs;
    }
    return this.table!;
  }

  private async describe(manager: EntityManager): Promise<SubscriptionTable> {
    try {
      return await describeTable(queryOf(manager), 'DB2', this.mapping.db2);
    } catch (error) {
      if (isPostgresError(error)) throw error;
      throw new SchemaDriftError(
        (error as Error).message,
        'correct the settings DB2_TABLE, DB2_KEY_COLUMN and DB2_STATUS_COLUMN, or the table',
      );
    }
  }
}

import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { TIMINGS, type Timings } from '#config';
import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import { prepared, type PreparedStatement } from '#postgres';
import { SELECT_REPLICA_COLUMNS, buildApplyStatement, type ReplicaColumn } from './apply-statement.js';

/** Caches DB2's columns, and the statements that apply batches for them. */
@Injectable()
export class ReplicaTable {
  private columns: readonly ReplicaColumn[] = [];
  private cachedUntil = 0;
  private readonly statements = new Map<string, PreparedStatement>();
  private readonly cacheMs: number;

  constructor(@Inject(TIMINGS) timings: Pick<Timings, 'replica'>) {
    this.cacheMs = timings.replica.columnCacheMs;
  }

  /** Returns the statement for rows whose image has the columns `image`; see `buildApplyStatement`. @throws SchemaDriftError */
  async applyStatement(manager: EntityManager, image: readonly string[] | undefined, position: boolean): Promise<PreparedStatement> {
    if (performance.now() > this.cachedUntil) {
      this.columns = await manager.query<ReplicaColumn[]>(SELECT_REPLICA_COLUMNS);
      expectNoDrift(this.columns);
      this.statements.clear();
      this.cachedUntil = performance.now() + this.cacheMs;
    }
    const key = `${position} ${image?.join()}`;
    const known = this.statements.get(key);
    if (known) return known;
    const statement = prepared(buildApplyStatement(this.columns, image && new Set(image), position));
    this.statements.set(key, statement);
    return statement;
  }

  /** Discards the cached columns. Called after an error: the table may have changed. */
  forget(): void {
    this.cachedUntil = 0;
  }
}

interface ColumnType {
  readonly fits: readonly string[];
  readonly ours: string;
}

/** Column types in DB2 by the kind of a business column. */
const TYPES: Readonly<Record<BusinessColumn['kind'], ColumnType>> = {
  status: { fits: ['S', 'E'], ours: 'text' },
  text: { fits: ['S', 'E'], ours: 'text' },
  instant: { fits: ['D', 'S'], ours: 'timestamptz' },
  boolean: { fits: ['B', 'S'], ours: 'boolean' },
  object: { fits: ['json', 'jsonb', 'S'], ours: 'jsonb' },
};

/**
 * Types that the replicated columns may have in DB2: categories by pg_type.typcategory (S text, E enum, D time, B boolean), or type
 * names. An existing table keeps its owner's types: a narrower type of the right kind is the owner's choice, and refuses only single
 * values.
 */
const KINDS: Readonly<Record<string, ColumnType>> = {
  email: { fits: ['S'], ours: 'text' },
  ...Object.fromEntries(BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, TYPES[kind]])),
  created_at: { fits: ['D', 'S'], ours: 'timestamptz' },
  updated_at: { fits: ['D', 'S'], ours: 'timestamptz' },
};

/** DB2's table does not have the columns of a subscription: every record would be refused, or applied only in part. */
export class SchemaDriftError extends Error {
  constructor(
    problem: string,
    /** Instruction for the operator. */
    readonly remedy: string,
  ) {
    super(problem);
    this.name = 'SchemaDriftError';
  }
}

/**
 * Checks that DB2's table has all columns of a subscription, with types that can hold the events' values. Types that are not built in are
 * trusted.
 * @throws SchemaDriftError
 */
export function expectNoDrift(columns: readonly ReplicaColumn[]): void {
  const found = new Map(columns.map((column) => [column.name, column]));
  for (const [name, { fits, ours }] of Object.entries(KINDS)) {
    const column = found.get(name);
    if (!column) {
      throw new SchemaDriftError(`DB2.subscriptions has no column ${name}`, `ALTER TABLE subscriptions ADD COLUMN ${name} ${ours}`);
    }
    if (column.builtin && !fits.includes(column.category) && !fits.includes(column.type)) {
      throw new SchemaDriftError(
        `column ${name} of DB2.subscriptions is ${column.type}, which cannot hold the values of events`,
        `ALTER TABLE subscriptions ALTER COLUMN ${name} TYPE ${ours}`,
      );
    }
  }
}

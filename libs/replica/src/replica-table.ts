import type { EntityManager } from 'typeorm';
import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import { prepared, type PreparedStatement } from '#postgres';
import { SELECT_REPLICA_COLUMNS, buildApplyStatement, type ReplicaColumn } from './apply-statement.js';

/** DB2's columns are looked up again after so long: a column added to both databases travels without a restart. */
const KNOWN_FOR_MS = 10_000;

/** The statements that apply batches, for the columns that DB2's table and the events have now. */
export class ReplicaTable {
  private columns: readonly ReplicaColumn[] = [];
  private knownUntil = 0;
  private readonly statements = new Map<string, PreparedStatement>();

  /** For events whose image has the columns `image`; see buildApplyStatement. @throws SchemaDriftError */
  async applyStatement(manager: EntityManager, image: readonly string[], position: boolean): Promise<PreparedStatement> {
    if (performance.now() > this.knownUntil) {
      this.columns = await manager.query<ReplicaColumn[]>(SELECT_REPLICA_COLUMNS);
      expectNoDrift(this.columns);
      this.statements.clear();
      this.knownUntil = performance.now() + KNOWN_FOR_MS;
    }
    const key = `${position} ${image.join()}`;
    const known = this.statements.get(key);
    if (known) return known;
    const statement = prepared(buildApplyStatement(this.columns, new Set(image), position));
    this.statements.set(key, statement);
    return statement;
  }

  /** After an error: the table may have changed. */
  forget(): void {
    this.knownUntil = 0;
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
 * What our own columns may be in DB2: categories of types by pg_type.typcategory (S text, E enum, D time, B boolean, N number), or
 * types by name. An adopted table has its owner's types: a narrower one of the right kind is the owner's wish, and refuses single
 * values only.
 */
const KINDS: Readonly<Record<string, ColumnType>> = {
  email: { fits: ['S'], ours: 'text' },
  ...Object.fromEntries(BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, TYPES[kind]])),
  version: { fits: ['N'], ours: 'bigint' },
  created_at: { fits: ['D', 'S'], ours: 'timestamptz' },
  updated_at: { fits: ['D', 'S'], ours: 'timestamptz' },
  tombstoned_at: { fits: ['D', 'S'], ours: 'timestamptz' },
};

/** DB2's table is no longer what its migrations made. Each record would be refused, or be applied without a part of it. */
export class SchemaDriftError extends Error {
  constructor(
    problem: string,
    /** What a person has to do. */
    readonly remedy: string,
  ) {
    super(problem);
    this.name = 'SchemaDriftError';
  }
}

/** @throws SchemaDriftError when a column of ours is gone, or of a kind that can't hold what events carry. Types that are no builtin ones are trusted. */
export function expectNoDrift(columns: readonly ReplicaColumn[]): void {
  const found = new Map(columns.map((column) => [column.name, column]));
  for (const [name, { fits, ours }] of Object.entries(KINDS)) {
    const column = found.get(name);
    if (!column) {
      throw new SchemaDriftError(
        `replicated_subscriptions has no column ${name}`,
        `ALTER TABLE replicated_subscriptions ADD COLUMN ${name} ${ours}`,
      );
    }
    if (column.builtin && !fits.includes(column.category) && !fits.includes(column.type)) {
      throw new SchemaDriftError(
        `column ${name} of replicated_subscriptions is ${column.type}, which can't hold what events carry`,
        `ALTER TABLE replicated_subscriptions ALTER COLUMN ${name} TYPE ${ours}`,
      );
    }
  }
}

import type { MappingSettings } from '#config';
import { BUSINESS_COLUMN_LIST, type BusinessColumn } from '#events';
import type { SubscriptionTable, TableColumn } from '#postgres';

/** A column of DB1, which is a member of the events' image, and the column of DB2 that takes its values. */
export interface ReplicatedColumn {
  readonly db1: string;
  readonly db2: TableColumn;
}

/** DB2's table does not have the columns that are replicated: every record would be refused, or applied only in part. */
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
 * Returns the columns that are replicated: the email and the status, and those of COLUMNS; without it, those that both tables have under the
 * same name and that DB2 does not number or compute itself. `image` has the names of DB1's columns; if undefined, they are not known yet.
 * @throws SchemaDriftError when DB2 lacks one of them, or one has a type that cannot hold the values.
 */
export function replicatedColumns(
  table: SubscriptionTable,
  { db1, columns }: MappingSettings,
  image: ReadonlySet<string> | undefined,
): ReplicatedColumn[] {
  const own = [
    { db1: db1.key, db2: table.keyColumn },
    { db1: db1.status, db2: table.statusColumn },
  ];
  const others = table.columns.filter((column) => column !== table.keyColumn && column !== table.statusColumn);
  const rest = columns
    ? columns
        .filter((pair) => pair.db1 !== db1.key && pair.db1 !== db1.status)
        .map((pair) => ({ db1: pair.db1, db2: others.find(({ name }) => name === pair.db2) ?? missing(table, pair.db2) }))
    : others
        .filter(({ name, generated }) => !generated && name !== db1.key && name !== db1.status)
        .map((column) => ({ db1: column.name, db2: column }));
  if (!columns && image) expectBusinessColumns(table, image);
  const found = [...own, ...rest].filter((column) => image?.has(column.db1) ?? true);
  for (const column of found) expectFit(table, column);
  return found;
}

interface ColumnType {
  readonly fits: readonly string[];
  readonly ours: string;
}

/** Types that values of a kind fit in: categories by pg_type.typcategory (S text, E enum, D time, B boolean), or type names. */
const TYPES: Readonly<Record<BusinessColumn['kind'], ColumnType>> = {
  status: { fits: ['S', 'E'], ours: 'text' },
  text: { fits: ['S', 'E'], ours: 'text' },
  instant: { fits: ['D', 'S'], ours: 'timestamptz' },
  boolean: { fits: ['B', 'S'], ours: 'boolean' },
  object: { fits: ['json', 'jsonb', 'S'], ours: 'jsonb' },
};

/** The columns of the tables that the service creates. */
const BUILT_IN: ReadonlyMap<string, ColumnType> = new Map([
  ['email', { fits: ['S'], ours: 'text' }],
  ...BUSINESS_COLUMN_LIST.map(([name, { kind }]) => [name, TYPES[kind]] as const),
  ['created_at', { fits: ['D', 'S'], ours: 'timestamptz' }],
  ['updated_at', { fits: ['D', 'S'], ours: 'timestamptz' }],
]);

/** A column that DB1 has and that the service knows must not be lost without a word: COLUMNS says so where it is meant. */
function expectBusinessColumns(table: SubscriptionTable, image: ReadonlySet<string>): void {
  const names = new Set(table.columns.map(({ name }) => name));
  for (const name of BUILT_IN.keys())
    if (image.has(name) && !names.has(name) && name !== 'email' && name !== 'status') missing(table, name);
}

function missing(table: SubscriptionTable, name: string): never {
  throw new SchemaDriftError(
    `${table.label} has no column ${name}`,
    `ALTER TABLE ${table.sql} ADD COLUMN ${name} ${BUILT_IN.get(name)?.ours ?? '…'}, or set COLUMNS to the columns that are replicated`,
  );
}

/**
 * Checks the type of a column that the service knows. An existing table keeps its owner's types: a narrower type of the right kind is the
 * owner's choice, and refuses only single values. Types that are not built in are trusted.
 */
function expectFit(table: SubscriptionTable, { db1, db2 }: ReplicatedColumn): void {
  const known = BUILT_IN.get(db2 === table.keyColumn ? 'email' : db2 === table.statusColumn ? 'status' : db1);
  if (db2.computed) {
    throw new SchemaDriftError(
      `column ${db2.name} of ${table.label} is computed or always numbered by the database, so nothing can be replicated into it`,
      `take it out of COLUMNS, or make it an ordinary column`,
    );
  }
  if (known && db2.builtin && !known.fits.includes(db2.category) && !known.fits.includes(db2.type)) {
    throw new SchemaDriftError(
      `column ${db2.name} of ${table.label} is ${db2.type}, which cannot hold the values of events`,
      `ALTER TABLE ${table.sql} ALTER COLUMN ${db2.name} TYPE ${known.ours}`,
    );
  }
}

/**
 * The business columns of a subscription, in the order in which answers, exports and tables show them. This is the only list: the DTOs and
 * their validation, the lists, export, import, replica reads, the drift check, the event's schema and DB1's write functions are built from
 * it. docs/contributing.md says how to add one.
 */
const BUSINESS_COLUMNS = {
  status: { kind: 'status', nullable: false, example: 'active' },
  plan: { kind: 'text', nullable: true, maxLength: 100, default: null, example: 'pro' },
  access_until: { kind: 'instant', nullable: true, default: null, example: '2027-01-31T00:00:00Z' },
  cancel_at_period_end: { kind: 'boolean', nullable: false, default: false, example: false },
  metadata: { kind: 'object', nullable: false, default: {}, example: { source: 'web' } },
} as const satisfies Record<string, BusinessColumn>;

/**
 * Definition of a business column.
 *
 * - `status`: one of the statuses that the API accepts, or what other programs' SQL wrote. Required.
 * - `text`: at most `maxLength` characters. `instant`: an RFC 3339 date and time. `object`: a JSON object.
 */
export type BusinessColumn = {
  readonly nullable: boolean;
  /** A value for documentation. */
  readonly example: unknown;
} & (
  | { readonly kind: 'status' }
  | { readonly kind: 'text'; readonly maxLength: number; readonly default: string | null }
  | { readonly kind: 'instant'; readonly default: string | null }
  | { readonly kind: 'boolean'; readonly default: boolean }
  | { readonly kind: 'object'; readonly default: Readonly<Record<string, unknown>> }
);

interface ValueOfKind {
  status: string;
  text: string;
  instant: string;
  boolean: boolean;
  object: Record<string, unknown>;
}
type Columns = typeof BUSINESS_COLUMNS;

/** The values of a row's business columns. */
export type BusinessValues = {
  [Name in keyof Columns]: ValueOfKind[Columns[Name]['kind']] | (Columns[Name]['nullable'] extends true ? null : never);
};

export type BusinessColumnName = keyof Columns;

/** Name and definition of each business column, in order. */
export const BUSINESS_COLUMN_LIST = Object.entries(BUSINESS_COLUMNS) as readonly (readonly [BusinessColumnName, BusinessColumn])[];

/** Names of the business columns, in order. */
export const BUSINESS_COLUMN_NAMES: readonly BusinessColumnName[] = BUSINESS_COLUMN_LIST.map(([name]) => name);

/** Names of the columns of a row as answers and exports show it. The times are the database's own. */
export const ROW_COLUMN_NAMES: readonly string[] = ['email', ...BUSINESS_COLUMN_NAMES, 'created_at', 'updated_at'];

/** Values that a whole write (POST, PUT, import) gives to the columns that it leaves out. */
export const DEFAULT_VALUES: Readonly<Record<string, unknown>> = Object.fromEntries(
  BUSINESS_COLUMN_LIST.flatMap(([name, column]) => (column.kind === 'status' ? [] : [[name, column.default]])),
);

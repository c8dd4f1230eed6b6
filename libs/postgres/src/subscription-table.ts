import { escapeIdentifier, escapeLiteral } from 'pg';
import type { TableSettings } from '#config';
import type { Query } from './client.js';
import { viewByRole } from './search-path.js';

/** A column of the users' table. */
export interface TableColumn {
  readonly name: string;
  /** Type as PostgreSQL prints it, with its length. */
  readonly type: string;
  /** The same without the length: a cast to it cuts nothing off. */
  readonly typeOfAnyLength: string;
  /** pg_type.typcategory. */
  readonly category: string;
  readonly builtin: boolean;
  readonly domain: boolean;
  /** Name of the collation, as SQL; `-` for a type without one. */
  readonly collation: string;
  readonly nullable: boolean;
  readonly hasDefault: boolean;
  /** The database numbers the values itself, or computes them. */
  readonly generated: boolean;
  /** The values cannot be written: they are computed, or always numbered. */
  readonly computed: boolean;
  /** The expression of a virtual generated column, which is NULL in a trigger. */
  readonly virtual: string | null;
}

/** The users' table of subscriptions in one database, as the catalogs describe it. */
export interface SubscriptionTable {
  /** Name for people. */
  readonly label: string;
  /** Name with its schema, as SQL. */
  readonly sql: string;
  /** The columns of the email and the status, as SQL. */
  readonly key: string;
  readonly status: string;
  readonly keyColumn: TableColumn;
  readonly statusColumn: TableColumn;
  readonly columns: readonly TableColumn[];
  /** Whether an index on the email has the order of its bytes, in which both databases can be compared. */
  readonly orderedByBytes: boolean;
  /** Whether an index on the status and the email has the emails of each status in the order of {@link keyInOrder}. */
  readonly orderedByStatus: boolean;
  /** The values of the status column's enum type, if it has one. */
  readonly statuses: readonly string[] | undefined;
  /** The schema of the operators of the email's type, as SQL. */
  readonly keyOperators: string;
}

/**
 * Returns an operator of the email's type as SQL. That of an extension's type is not in pg_catalog, the only schema that the service's sessions
 * search: `=` would compare two values of citext as text, and use no index. It binds more tightly than a plain `=`.
 */
export function keyOperator({ keyOperators }: Pick<SubscriptionTable, 'keyOperators'>, operator: string): string {
  return `OPERATOR(${keyOperators}.${operator})`;
}

/** Returns the SQL condition that the email of a row is `email`, an expression of the column's type. */
export function hasKey(table: Pick<SubscriptionTable, 'key' | 'keyOperators'>, row: string, email: string): string {
  return `${row}.${table.key} ${keyOperator(table, '=')} (${email})`;
}

/** Returns the column of a field of the API, which calls two columns `email` and `status` whatever their names are. */
export function columnOf({ columns, keyColumn, statusColumn }: SubscriptionTable, field: string): TableColumn | undefined {
  if (field === 'email') return keyColumn;
  if (field === 'status') return statusColumn;
  return columns.find((column) => column.name === field && column !== keyColumn && column !== statusColumn);
}

/** Converts an email, a SQL expression of type text, into the type and the collation of the table's column, so that its index is used. */
export function asKey({ keyColumn: { collation, typeOfAnyLength } }: SubscriptionTable, email: string): string {
  return `(${email}${collation === '-' ? '' : ` COLLATE ${collation}`})::${typeOfAnyLength}`;
}

/** Returns the fields of a row in the API: those of `builtIn` that the table has, then the other columns of `mapped` (default: all). */
export function fieldsOf(table: SubscriptionTable, builtIn: readonly string[], mapped?: readonly string[]): string[] {
  const others = (mapped ?? table.columns.map(({ name }) => name)).filter((name) => !builtIn.includes(name));
  return [...builtIn, ...others].filter((field) => columnOf(table, field) !== undefined);
}

/** Returns the fields of a row `row` as a SQL list, each under its name in the API and in a type that JSON has a form for. */
function fieldList(table: SubscriptionTable, fields: readonly string[], row: string): string {
  return fields
    .map((field) => {
      const column = columnOf(table, field)!;
      return `${row}.${escapeIdentifier(column.name)}${travelsAsJson(column) ? '' : '::text'} AS ${escapeIdentifier(field)}`;
    })
    .join(', ');
}

/** Returns the JSON text of a row with these fields as a SQL expression. */
export function rowJson(table: SubscriptionTable, fields: readonly string[], row: string): string {
  return `(SELECT row_to_json(r.*)::text FROM (SELECT ${fieldList(table, fields, row)}) r)`;
}

/** Whether a write of the API can set a field: the table has the column, and does not compute or number it itself. */
export function isWritable(table: SubscriptionTable, field: string): boolean {
  return columnOf(table, field)?.generated === false;
}

/** Returns the SQL expression of a row's email by which rows are read in order: the one that has an index. */
export function keyInOrder({ key, orderedByBytes }: SubscriptionTable, row: string): string {
  return `${row}.${key}${orderedByBytes ? ' COLLATE "C"' : ''}`;
}

/** Returns a function that calls `build` once for each table. A database describes its table once in the life of a process. */
export function oncePerTable<T>(build: (table: SubscriptionTable) => T): (table: SubscriptionTable) => T {
  const built = new WeakMap<SubscriptionTable, { readonly value: T }>();
  return (table) => {
    const known = built.get(table) ?? { value: build(table) };
    built.set(table, known);
    return known.value;
  };
}

const IS_GENERATED = `(a.attgenerated <> '' OR a.attidentity <> ''
    OR coalesce(pg_get_expr(d.adbin, d.adrelid), '') ~ '^([^.(]+[.])?(nextval|gen_random_uuid|uuid_generate|uuidv)')`;

const SELECT_COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, -1) AS "typeOfAnyLength",
  t.typcategory AS category, t.typnamespace = 'pg_catalog'::regnamespace AS builtin, t.typtype = 'd' AS domain, a.attcollation::regcollation::text AS collation, NOT a.attnotnull AS nullable,
  a.atthasdef OR a.attidentity <> '' AS "hasDefault", ${IS_GENERATED} AS "generated",
  a.attgenerated <> '' OR a.attidentity = 'a' AS computed,
  CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END AS virtual
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

/**
 * The operators of a type are in the type's own schema, unless the type is a domain: then they are those of the type below. An index in the
 * collation "C" has the order of the bytes if its type is text; another type may have an order of its own.
 */
const SELECT_FACTS = `
WITH RECURSIVE types AS (
  SELECT t.oid, t.typbasetype, t.typnamespace, 0 AS depth FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = to_regclass($1) AND a.attname = $2
  UNION ALL
  SELECT b.oid, b.typbasetype, b.typnamespace, t.depth + 1 FROM types t JOIN pg_type b ON b.oid = t.typbasetype
)
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS sql, o."orderedByBytes",
  (SELECT quote_ident(h.nspname) FROM types t JOIN pg_namespace h ON h.oid = t.typnamespace ORDER BY t.depth DESC LIMIT 1) AS "keyOperators",
  EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = $2
    JOIN pg_attribute s ON s.attrelid = i.indrelid AND s.attname = $3
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = c.oid AND i.indkey[0] = s.attnum AND i.indkey[1] = a.attnum AND i.indisvalid AND i.indpred IS NULL
      AND i.indcollation[1] = CASE WHEN o."orderedByBytes" THEN '"C"'::regcollation::oid ELSE a.attcollation END AND m.amname = 'btree'
  ) AS "orderedByStatus",
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid
   WHERE a.attrelid = c.oid AND a.attname = $3) AS statuses
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
  SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = $2
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indcollation[0] = '"C"'::regcollation AND i.indisvalid AND i.indpred IS NULL
      AND m.amname = 'btree' AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)
  ) AS "orderedByBytes") o
WHERE c.oid = to_regclass($1)`;

interface Facts extends Pick<SubscriptionTable, 'sql' | 'orderedByBytes' | 'orderedByStatus' | 'keyOperators'> {
  readonly statuses: string[] | null;
}

/** Returns the name of the table as SQL, with its schema if the settings have one. */
export function tableName({ schema, name }: TableSettings): string {
  return (schema === undefined ? '' : `${escapeIdentifier(schema)}.`) + escapeIdentifier(name);
}

/** Returns the name of the table for people. */
export function tableLabel(database: 'DB1' | 'DB2', { schema, name }: TableSettings): string {
  return `${database}.${schema === undefined ? '' : `${schema}.`}${name}`;
}

/** Returns the name of the table as SQL, with the schema in which the service's role finds it; undefined if there is no such table. */
export async function locateTable(query: Query, settings: TableSettings): Promise<string | undefined> {
  return (await viewByRole(query, tableName(settings))).relation ?? undefined;
}

/**
 * Reads the table's description.
 * @throws Error when the database has no such table, or the table lacks the column of the email or of the status.
 */
export async function describeTable(query: Query, database: 'DB1' | 'DB2', settings: TableSettings): Promise<SubscriptionTable> {
  const name = await locateTable(query, settings);
  const label = tableLabel(database, settings);
  const [facts] = name === undefined ? [] : await query<Facts>(SELECT_FACTS, [name, settings.key, settings.status]);
  if (!facts)
    throw new Error(`${label} does not exist, or the role may not see its schema. Correct ${database}_TABLE, or create the table`);
  const columns = await query<TableColumn>(SELECT_COLUMNS, [name]);
  const find = (column: string, setting: string): TableColumn => {
    const found = columns.find((candidate) => candidate.name === column);
    if (found) return found;
    throw new Error(`${label} has no column ${column}. Set ${database}_${setting} to one of ${columns.map((c) => c.name).join(', ')}`);
  };
  return {
    label,
    sql: facts.sql,
    key: escapeIdentifier(settings.key),
    status: escapeIdentifier(settings.status),
    keyColumn: find(settings.key, 'KEY_COLUMN'),
    statusColumn: find(settings.status, 'STATUS_COLUMN'),
    columns,
    orderedByBytes: facts.orderedByBytes,
    orderedByStatus: facts.orderedByStatus,
    statuses: facts.statuses ?? undefined,
    keyOperators: facts.keyOperators,
  };
}

/** Types whose JSON form PostgreSQL reads back as the same value. Values of all other types travel as their text. */
export const JSON_TYPES: ReadonlySet<string> = new Set([
  'boolean',
  'smallint',
  'integer',
  'bigint',
  'real',
  'double precision',
  'numeric',
  'text',
  'character varying',
  'bpchar',
  'name',
  'uuid',
  'date',
  'timestamp without time zone',
  'timestamp with time zone',
  'json',
  'jsonb',
]);

/** Whether values of a column are the same in JSON. */
export function travelsAsJson({ typeOfAnyLength, virtual }: TableColumn): boolean {
  return JSON_TYPES.has(typeOfAnyLength) && virtual === null;
}

/** JSON types that jsonb does not keep: it makes 0 of -0, and refuses \u0000 and numbers that are too large. */
const CHANGED_BY_JSONB = new Set(['json', 'real', 'double precision']);

/**
 * Returns the SQL expression of the image of a row `row`: JSON text of an object with all columns, also those that are added later. In a
 * trigger, `row` is NEW or OLD. It is written as `row.*`, because a column may have its name.
 *
 * Values that travel as text, or that jsonb would change, are written behind the others. They are emptied before the row becomes jsonb, because
 * an error there would be one of the program that writes the row. A domain is not emptied: it may not allow NULL.
 */
export function imageExpression(columns: readonly TableColumn[], row: string): string {
  const asText = columns.filter((column) => !travelsAsJson(column));
  if (asText.length === 0) return `row_to_json(${row}.*)::text`;
  const apart = columns.filter((column) => asText.includes(column) || CHANGED_BY_JSONB.has(column.typeOfAnyLength));
  const emptied = Object.fromEntries(apart.filter(({ domain }) => !domain).map(({ name }) => [name, null]));
  const rest = `to_jsonb(jsonb_populate_record(${row}.*, ${escapeLiteral(JSON.stringify(emptied))})) - ARRAY[${apart.map(({ name }) => escapeLiteral(name)).join(', ')}]`;
  // The rest must not be an empty object.
  const [first, ...others] =
    apart.length === columns.length ? [asText[0]!, ...apart.filter((column) => column !== asText[0])] : [undefined, ...apart];
  const object = first ? `(${rest}) || jsonb_build_object(${escapeLiteral(first.name)}, ${valueOf(first, row)})` : rest;
  const members = others.map(
    (column) => `${escapeLiteral(`,${JSON.stringify(column.name)}:`)}, coalesce(to_json(${valueOf(column, row)})::text, 'null')`,
  );
  return `(left((${object})::text, -1) || ${concatenation(members)} || '}')`;
}

/** A virtual generated column is NULL in a trigger, so its expression is evaluated. */
function valueOf({ name, virtual, typeOfAnyLength }: TableColumn, row: string): string {
  const isInTrigger = row === 'NEW' || row === 'OLD';
  const value = virtual !== null && isInTrigger ? `(SELECT ${virtual} FROM (SELECT ${row}.*) v)` : `${row}.${escapeIdentifier(name)}`;
  return JSON_TYPES.has(typeOfAnyLength) ? value : `${value}::text`;
}

/** Maximum number of items of one call of concat(): PostgreSQL allows 100 arguments, and an item may be two. */
const MAX_CONCATENATED = 40;

/** Returns the SQL expression that concatenates items, however many there are; NULL is empty. */
export function concatenation(items: readonly string[]): string {
  const calls = Array.from({ length: Math.ceil(items.length / MAX_CONCATENATED) }, (_, i) =>
    items.slice(i * MAX_CONCATENATED, (i + 1) * MAX_CONCATENATED).join(',\n  '),
  );
  return calls.map((call) => `concat(${call})`).join(' || ') || "''";
}

import { escapeIdentifier } from 'pg';
import type { DataSource } from 'typeorm';
import type { MappingSettings } from '#config';
import {
  asKey,
  describeTable,
  hasKey,
  keyInOrder,
  queryOf,
  type SubscriptionTable,
  type TableColumn,
  travelsAsJson,
  withMaintenanceTimeout,
} from '#postgres';
import { replicatedColumns } from '#replica';

/** The tables that are compared, and what is replicated from one to the other. */
export interface Tables {
  readonly db1: SubscriptionTable;
  readonly db2: SubscriptionTable;
  readonly mapping: MappingSettings;
}

/** Describes the tables as they are now. */
export async function describeTables(db1: DataSource, db2: DataSource, mapping: MappingSettings): Promise<Tables> {
  const [one, two] = await Promise.all([describeTable(queryOf(db1), 'DB1', mapping.db1), describeTable(queryOf(db2), 'DB2', mapping.db2)]);
  return { db1: one, db2: two, mapping };
}

/** SQL expressions of one database for a row `s` of its table. */
export interface RowExpressions {
  /** A text that is equal in both databases exactly when the rows are. */
  readonly text: string;
  /**
   * A bigint that differs, in all but one of 2^64 cases, when the rows do. It takes a third of the time of the text's md5. Equal rows
   * have equal hashes where both servers store values alike. Where they do not (another byte order), every hash differs, and the rows
   * are compared by their text: slower, and as correct.
   */
  readonly hash: string;
}

/**
 * Returns the expressions of both databases over all columns that are replicated. Every session of the service prints times in UTC and
 * numbers in one way. json is compared as jsonb, and a column that has another type in DB2 as that type, because the replica converted it. No
 * value makes the statement fail: one that the type refuses is a difference.
 */
export function rowExpressions(tables: Tables): readonly [RowExpressions, RowExpressions] {
  const pairs = replicatedPairs(tables);
  return [expressionsOf(pairs.map(([one, two]) => valuesOf(one, two)[0])), expressionsOf(pairs.map(([one, two]) => valuesOf(one, two)[1]))];
}

/** Returns the columns that are replicated, in both databases, in an order that does not depend on the tables'. */
export function replicatedPairs({ db1, db2, mapping }: Tables): [TableColumn, TableColumn][] {
  const columns = new Map(db1.columns.map((column) => [column.name, column]));
  return replicatedColumns(db2, mapping, new Set(columns.keys()))
    .sort((a, b) => (a.db1 < b.db1 ? -1 : 1))
    .map((column) => [columns.get(column.db1)!, column.db2]);
}

/** Returns the SQL expression of the image of DB2's row `s`, as DB1's would be: with the names of DB1's columns. */
export function replicaImage(tables: Tables): string {
  const members = replicatedPairs(tables).map(
    ([one, two]) => `s.${escapeIdentifier(two.name)}${travelsAsJson(two) ? '' : '::text'} AS ${escapeIdentifier(one.name)}`,
  );
  return `(SELECT row_to_json(r.*)::text FROM (SELECT ${members.join(', ')}) r)`;
}

interface Value {
  readonly sql: string;
  readonly type: string;
}

/** Types whose own hash distinguishes whatever their text does. Others are hashed as text in "C": a collation may equate two texts. */
const HASHED_BY_VALUE = new Set(['bigint', 'integer', 'smallint', 'boolean', 'timestamp with time zone', 'date', 'uuid', 'jsonb']);

function expressionsOf(values: readonly Value[]): RowExpressions {
  const text = `ROW(${values.map(({ sql }) => sql).join(', ')})::text`;
  const hashed = values.map(({ sql, type }) => (HASHED_BY_VALUE.has(type) ? sql : `(${sql})::text COLLATE "C"`));
  return { text, hash: `hash_record_extended(ROW(${hashed.join(', ')}), 0)` };
}

/** Returns the values of a column in both databases, which are equal when the replica has made DB2's of DB1's. */
function valuesOf(one: TableColumn, two: TableColumn): readonly [Value, Value] {
  const [column1, column2] = [one, two].map(({ name }) => `s.${escapeIdentifier(name)}`) as [string, string];
  const both = (sql: (column: string) => string, type = two.type): [Value, Value] => [
    { sql: sql(column1), type },
    { sql: sql(column2), type },
  ];
  // JSON's null arrives as NULL.
  if (one.type === 'jsonb' && two.type === 'jsonb') return both((column) => `nullif(${column}, 'null')`);
  if (two.type === 'json') return [convertedText(column1, one, 'jsonb'), convertedText(column2, two, 'jsonb')];
  if (!two.builtin || isSameText(one, two)) return both((column) => `${column}::text`, 'text');
  if (one.type === two.type) return both((column) => column);
  if (WIDER.get(two.type)?.includes(one.typeOfAnyLength)) return both((column) => `${column}::${two.type}`);
  return [
    convertedText(column1, one, two.type),
    { sql: `${two.type === 'jsonb' ? `nullif(${column2}, 'null')` : column2}::text`, type: 'text' },
  ];
}

/** Conversions of a value that always succeed, and are made as the replica makes them, by the type of DB2. All others take 20 µs a value. */
const WIDER: ReadonlyMap<string, readonly string[]> = new Map([
  ['integer', ['smallint']],
  ['bigint', ['smallint', 'integer']],
  ['numeric', ['smallint', 'integer', 'bigint']],
  ['timestamp with time zone', ['timestamp without time zone']],
]);

const TEXTS = ['text', 'character varying'];

/** Whether DB2 has the text of DB1's value: it travels as its text, or is one. */
function isSameText(one: TableColumn, two: TableColumn): boolean {
  return TEXTS.includes(two.typeOfAnyLength) && one.type !== two.type && (TEXTS.includes(one.typeOfAnyLength) || !travelsAsJson(one));
}

/** Returns the text of a value as the replica reads it into a type. */
function convertedText(column: string, of: TableColumn, type: string): Value {
  return { sql: `subscription_sync.read_value(to_json(${column}${travelsAsJson(of) ? '' : '::text'}), '${type}')`, type: 'text' };
}

/** FROM clauses, and the SQL expression of the email in the order of its bytes, for which there is an index. */
export interface RowSource {
  /** The rows `s` of a table. */
  readonly from: string;
  /** Their emails alone. There may be some whose rows were deleted lately. */
  readonly emails: string;
  readonly email: string;
}

/** A database, and how its rows are read in the order of their emails. */
export interface OrderedRows {
  readonly database: DataSource;
  readonly source: RowSource;
}

/**
 * Returns how the rows of both databases are read in the order of their emails. Two databases agree only on the order of the emails' bytes.
 * Tables that the service created are indexed in that order; an existing table may not be, and stays as it is. Its rows are then read by a
 * list of its emails in the service's schema, which takes an index look-up for each row.
 */
export async function orderedRows(db1: DataSource, db2: DataSource, tables: Tables): Promise<readonly [OrderedRows, OrderedRows]> {
  const [one, two] = await Promise.all([rowSource(db1, tables.db1), rowSource(db2, tables.db2)]);
  return [
    { database: db1, source: one },
    { database: db2, source: two },
  ];
}

async function rowSource(database: DataSource, table: SubscriptionTable): Promise<RowSource> {
  const { sql, key, orderedByBytes } = table;
  if (orderedByBytes) return { from: `${sql} s`, emails: `${sql} s`, email: keyInOrder(table, 's') };
  const listed = asKey(table, 'k.key');
  await withMaintenanceTimeout(database, async (manager) => {
    await manager.query(`
      INSERT INTO subscription_sync.row_keys (key) SELECT s.${key}::text FROM ${sql} s
      WHERE s.${key} IS NOT NULL AND NOT EXISTS (SELECT FROM subscription_sync.row_keys k WHERE k.key = s.${key}::text COLLATE "C")
      ORDER BY s.${key}::text COLLATE "C" ON CONFLICT DO NOTHING`);
    await manager.query(
      `DELETE FROM subscription_sync.row_keys k WHERE NOT EXISTS (SELECT FROM ${sql} s WHERE ${hasKey(table, 's', listed)})`,
    );
    await manager.query('SELECT subscription_sync.analyze_row_keys()');
  });
  const emails = 'subscription_sync.row_keys k';
  // PostgreSQL cannot know how few rows a range has, and would join by reading the whole table for each range. OFFSET keeps it from that.
  return {
    from: `${emails} CROSS JOIN LATERAL (SELECT * FROM ${sql} s WHERE ${hasKey(table, 's', listed)} OFFSET 0) s`,
    emails,
    email: 'k.key',
  };
}

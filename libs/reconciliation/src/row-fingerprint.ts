import { Logger } from '@nestjs/common';
import { escapeIdentifier } from 'pg';
import type { DataSource } from 'typeorm';
import { withMaintenanceTimeout } from '#postgres';
import { IS_GENERATED, replicaRowsByKey, type RowSource } from '#replica';

interface Column {
  readonly name: string;
  /** Type without its length: `character varying`. */
  readonly type: string;
  readonly builtin: boolean;
  /** The database generates or numbers the values itself. */
  readonly generated: boolean;
}

const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, t.typnamespace = 'pg_catalog'::regnamespace AS builtin,
  ${IS_GENERATED} AS "generated"
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'subscriptions'::regclass AND a.attnum > 0 AND NOT a.attisdropped`;

/** SQL expressions of one database for a row `s` of its `subscriptions`. */
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
 * Returns the expressions of both databases over all columns that both have, except those whose values DB2 makes itself. Every session
 * of the service prints times in UTC and numbers in one way. json is compared as jsonb, and a column that has another type in DB2 as
 * that type, because the replica converted it.
 */
export async function rowExpressions(db1: DataSource, db2: DataSource): Promise<readonly [RowExpressions, RowExpressions]> {
  const [columns1, columns2] = await Promise.all([db1.query<Column[]>(COLUMNS), db2.query<Column[]>(COLUMNS)]);
  const typeIn2 = new Map(columns2.filter(({ generated }) => !generated).map((column) => [column.name, column]));
  const shared = columns1.filter(({ name }) => typeIn2.has(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const replicas = shared.map(({ name }) => typeIn2.get(name)!);
  return [
    expressionsOf(shared.map((column, i) => ({ sql: comparable(column, replicas[i]!), type: replicas[i]!.type }))),
    expressionsOf(replicas.map((column) => ({ sql: comparable(column, column), type: column.type }))),
  ];
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

function comparable({ name, type }: Column, replica: Column): string {
  const column = `s.${escapeIdentifier(name)}`;
  if (replica.type === 'json') return `${column}::jsonb`;
  return type === replica.type || !replica.builtin ? column : `${column}::${replica.type}`;
}

/** A database, and how its rows are read in the order of their emails. */
export interface OrderedRows {
  readonly database: DataSource;
  readonly source: RowSource;
}

const INDEX_NAME = 'subscription_sync_email_bytes';

/** The rows of a table that has an index of its emails in the order of their bytes. */
const BY_EMAIL: RowSource = { from: 'subscriptions s', email: 's.email COLLATE "C"' };

/**
 * Looks for an index whose first column is the email in the collation "C". It has the order of the bytes if its type is text; another type may
 * have an order of its own.
 */
const FIND_INDEX = `
SELECT count(*) > 0 AS found, coalesce(bool_and(a.atttypid IN ('text'::regtype, 'varchar'::regtype)), false) AS "isText"
FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = 'subscriptions'::regclass AND i.indkey[0] = a.attnum AND i.indcollation[0] = '"C"'::regcollation
  AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'`;

async function findIndex(database: DataSource): Promise<{ readonly found: boolean; readonly isText: boolean }> {
  const [index] = await database.query<[{ found: boolean; isText: boolean }]>(FIND_INDEX);
  return index;
}

/**
 * Returns how the rows of both databases are read in the order of their emails. Two databases agree only on the order of the emails' bytes.
 * Tables that the service created are indexed in that order; an existing table may not be. DB1's then gets an additional index. DB2's stays
 * as it is, and its rows are read by the service's own key, which takes an index look-up for each row.
 * @throws Error when the index cannot be created.
 */
export async function orderedRows(db1: DataSource, db2: DataSource): Promise<readonly [OrderedRows, OrderedRows]> {
  if (!(await findIndex(db1)).found) await createEmailIndex(db1);
  const source = (await findIndex(db2)).isText ? BY_EMAIL : await replicaRowsByKey(db2);
  return [
    { database: db1, source: BY_EMAIL },
    { database: db2, source },
  ];
}

/** Creates the index without blocking writers. Without it, every range would sort the table. */
async function createEmailIndex(db1: DataSource): Promise<void> {
  new Logger('reconciliation').log(`DB1.subscriptions has no index of its emails in the order of their bytes: creating ${INDEX_NAME}`);
  await withMaintenanceTimeout(db1, async (manager) => {
    // An index that an interrupted attempt left behind is never valid.
    await manager.query(`DROP INDEX CONCURRENTLY IF EXISTS ${INDEX_NAME}`);
    await manager.query(`CREATE INDEX CONCURRENTLY ${INDEX_NAME} ON subscriptions (email COLLATE "C")`);
  });
}

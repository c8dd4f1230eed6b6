import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { withMaintenanceTimeout } from '#postgres';

interface Column {
  readonly name: string;
  /** Without its length: `character varying`. */
  readonly type: string;
  readonly builtin: boolean;
}

const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, t.typnamespace = 'pg_catalog'::regnamespace AS builtin
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = 'subscriptions'::regclass AND a.attnum > 0 AND NOT a.attisdropped`;

/** SQL of one database for a row `s` of its `subscriptions`. */
export interface RowExpressions {
  /** A text that is the same in both databases exactly when the rows are. */
  readonly text: string;
  /** A bigint that is the same in both when the rows are, and differs in all but one of 2^64 cases when they are not. Cheaper than the text. */
  readonly hash: string;
}

/**
 * What both databases make of a row, over all columns that both have. Times are shown in UTC and numbers in one way (the settings of
 * all our sessions), json as jsonb, and a column that has another type in DB2 as that type, because that is how it got there.
 */
export async function rowExpressions(db1: DataSource, db2: DataSource): Promise<readonly [RowExpressions, RowExpressions]> {
  const [columns1, columns2] = await Promise.all([db1.query<Column[]>(COLUMNS), db2.query<Column[]>(COLUMNS)]);
  const typeIn2 = new Map(columns2.map((column) => [column.name, column]));
  const shared = columns1.filter(({ name }) => typeIn2.has(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const replicas = shared.map(({ name }) => typeIn2.get(name)!);
  const fast = await agreeOnHashes(db1, db2);
  return [
    expressionsOf(
      shared.map((column, i) => ({ sql: asText(column, replicas[i]!), type: replicas[i]!.type })),
      fast,
    ),
    expressionsOf(
      replicas.map((column) => ({ sql: asText(column, column), type: column.type })),
      fast,
    ),
  ];
}

interface Value {
  readonly sql: string;
  readonly type: string;
}

/** Types whose own hash tells apart whatever their text does; others are hashed as text. A collation may take two texts for one. */
const HASHED_AS_THEY_ARE = new Set(['bigint', 'integer', 'smallint', 'boolean', 'timestamp with time zone', 'date', 'uuid', 'jsonb']);

/** md5 of the text: 1 µs a row more. hash_record_extended goes over the values as they are stored. */
function expressionsOf(values: readonly Value[], fast: boolean): RowExpressions {
  const text = `ROW(${values.map(({ sql }) => sql).join(', ')})::text`;
  const hashed = values.map(({ sql, type }) => (HASHED_AS_THEY_ARE.has(type) ? sql : `(${sql})::text COLLATE "C"`));
  const hash = fast ? `hash_record_extended(ROW(${hashed.join(', ')}), 0)` : `('x' || left(md5(${text}), 16))::bit(64)::bigint`;
  return { text, hash };
}

/** One value of each type: a major version of PostgreSQL may hash in another way, and so may one of another byte order. */
const PROBE = `SELECT hash_record_extended(ROW(
  7000000000::bigint, 7::integer, 7::smallint, true, timestamptz '2026-02-03 04:05:06.789+00', date '2026-02-03',
  uuid '00000000-0000-4000-8000-000000000007', '{"b": [1.50, "é", null, true], "a": {}}'::jsonb, 'née@example.com'::text COLLATE "C", NULL::text COLLATE "C"), 0)::text AS hash`;

async function agreeOnHashes(db1: DataSource, db2: DataSource): Promise<boolean> {
  const [[one], [two]] = await Promise.all([db1.query<[{ hash: string }]>(PROBE), db2.query<[{ hash: string }]>(PROBE)]);
  return one.hash === two.hash;
}

function asText({ name, type }: Column, replica: Column): string {
  const column = `s."${name.replaceAll('"', '""')}"`;
  if (replica.type === 'json') return `${column}::jsonb`;
  return type === replica.type || !replica.builtin ? column : `${column}::${replica.type}`;
}

/** Rows of a piece: what is read row by row when its hashes differ. */
export const PIECE = 256;

const FIRST = 16;
const MOST = 512;
/** From one query to the next it grows or shrinks by this factor at most: one slow answer says little. */
const STEP = 2;

/** How many pieces one query is to go over, so that it takes about as long as wanted, however busy or slow the databases are. */
export class AdaptiveChunk {
  private wanted = FIRST;

  /** `targetMs`: how long a query may take. */
  constructor(private readonly targetMs: number) {}

  get pieces(): number {
    return Math.round(this.wanted);
  }

  /** What a query over so many pieces took. A range's end tells nothing: its query was shorter than asked. */
  took(pieces: number, ms: number): void {
    if (pieces < this.pieces) return;
    const fitting = (this.wanted * this.targetMs) / Math.max(ms, 1);
    this.wanted = Math.min(MOST, Math.max(1, Math.min(this.wanted * STEP, Math.max(this.wanted / STEP, fitting))));
  }
}

const NAME = 'subscription_sync_email_bytes';

/** An index of the email alone, or first, in the order of its bytes. */
const FOUND = (table: string): string => `
SELECT EXISTS (
  SELECT FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'email'
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  WHERE i.indrelid = '${table}'::regclass AND i.indkey[0] = a.attnum AND i.indcollation[0] = '"C"'::regcollation
    AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
) AS found`;

/** Makes both databases ready to be gone over in the order of emails. @throws Error when an index can't be made. */
export async function ensureEmailIndexes(db1: DataSource, db2: DataSource): Promise<void> {
  await ensureEmailIndex(db1, 'subscriptions');
  await ensureEmailIndex(db2, 'replicated_subscriptions');
}

/**
 * Two databases agree on the order of emails only by their bytes. Tables of ours are in that order; one that was adopted may not be,
 * and then gets an index of its own, without locking out writers: without it every range would sort the whole table.
 */
async function ensureEmailIndex(database: DataSource, table: 'subscriptions' | 'replicated_subscriptions'): Promise<void> {
  const [{ found }] = await database.query<[{ found: boolean }]>(FOUND(table));
  if (found) return;
  new Logger('reconciliation').log(`${table} has no index of its emails in the order of their bytes: making one, ${NAME}`);
  await withMaintenanceTimeout(database, async (manager) => {
    // What a broken-off attempt left is never valid.
    await manager.query(`DROP INDEX CONCURRENTLY IF EXISTS ${NAME}`);
    await manager.query(`CREATE INDEX CONCURRENTLY ${NAME} ON ${table} (email COLLATE "C")`);
  });
}

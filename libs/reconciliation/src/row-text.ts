import type { DataSource } from 'typeorm';

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

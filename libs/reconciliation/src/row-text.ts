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

/** SQL expressions that give the same text for a row of DB1 and of DB2 exactly when they are equal. */
export interface RowText {
  readonly db1: string;
  readonly db2: string;
}

/**
 * All columns that both databases have. Times are compared in UTC (the zone of all our sessions), json as jsonb, and a column that
 * has another type in DB2 as that type, because that is how it got there.
 */
export async function rowText(db1: DataSource, db2: DataSource): Promise<RowText> {
  const [columns1, columns2] = await Promise.all([db1.query<Column[]>(COLUMNS), db2.query<Column[]>(COLUMNS)]);
  const typeIn2 = new Map(columns2.map((column) => [column.name, column]));
  const shared = columns1.filter(({ name }) => typeIn2.has(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    db1: rowOf(shared.map((column) => asText(column, typeIn2.get(column.name)!))),
    db2: rowOf(shared.map(({ name }) => asText(typeIn2.get(name)!, typeIn2.get(name)!))),
  };
}

function rowOf(expressions: readonly string[]): string {
  return `ROW(${expressions.join(', ')})::text`;
}

function asText({ name, type }: Column, replica: Column): string {
  const column = `s."${name.replaceAll('"', '""')}"`;
  if (replica.type === 'json') return `${column}::jsonb`;
  return type === replica.type || !replica.builtin ? column : `${column}::${replica.type}`;
}

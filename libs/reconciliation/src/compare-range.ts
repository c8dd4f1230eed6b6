import type { DataSource } from 'typeorm';
import type { RowText } from './row-text.js';

/** Rows of DB1 that are compared by one hash. */
const RANGE = 5_000;

export interface Compared {
  /** The last email of the range; undefined when it reached the end of both tables. */
  readonly last: string | undefined;
  readonly rows: number;
  /** Emails whose rows are not the same in both databases, as seen at two moments: they may be on their way. */
  readonly differing: readonly string[];
}

interface Summary {
  readonly rows: number;
  readonly last: string | null;
  readonly hash: string | null;
}

/** Emails in the order of their bytes, whatever the tables' collations. */
const EMAIL = 's.email COLLATE "C"';

/** The next range after an email. Only ranges that differ are read row by row. Locks nothing. */
export async function compareRange(db1: DataSource, db2: DataSource, text: RowText, after: string): Promise<Compared> {
  const [one] = await db1.query<[Summary]>(
    summaryOf(`SELECT s.email, md5(${text.db1}) AS hash FROM subscriptions s WHERE ${EMAIL} > $1 ORDER BY ${EMAIL} LIMIT ${RANGE}`),
    [after],
  );
  const last = one.rows === RANGE ? one.last! : undefined;
  const range = [after, last ?? null];
  const [two] = await db2.query<[Summary]>(summaryOf(rowsWithin(text.db2)), range);
  if (one.rows === two.rows && one.hash === two.hash) return { last, rows: one.rows, differing: [] };
  const [rows1, rows2] = await Promise.all([db1.query<Row[]>(rowsWithin(text.db1), range), db2.query<Row[]>(rowsWithin(text.db2), range)]);
  return { last, rows: one.rows, differing: differing(rows1, rows2) };
}

interface Row {
  readonly email: string;
  readonly hash: string;
}

function summaryOf(rows: string): string {
  return `SELECT count(*)::int AS rows, max(email COLLATE "C") AS last, md5(string_agg(hash, '' ORDER BY email COLLATE "C")) AS hash FROM (${rows}) r`;
}

function rowsWithin(text: string): string {
  return `SELECT s.email, md5(${text}) AS hash FROM subscriptions s WHERE ${EMAIL} > $1 AND ($2::text IS NULL OR ${EMAIL} <= $2)`;
}

function differing(rows1: readonly Row[], rows2: readonly Row[]): string[] {
  const hashes = new Map(rows1.map(({ email, hash }) => [email, hash]));
  const found: string[] = [];
  for (const { email, hash } of rows2) {
    if (hashes.get(email) !== hash) found.push(email);
    hashes.delete(email);
  }
  return [...found, ...hashes.keys()];
}

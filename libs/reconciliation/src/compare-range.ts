import type { DataSource } from 'typeorm';
import { PIECE, type AdaptiveChunk, type RowExpressions } from './row-fingerprint.js';

/** A database, and what it makes of a row. */
export interface Side {
  readonly database: DataSource;
  readonly row: RowExpressions;
}

export interface Compared {
  /** All emails up to this one are compared. */
  readonly last: string;
  /** Rows of DB1 among them. */
  readonly rows: number;
  /** Emails whose rows are not the same in both databases, as seen at two moments: they may be on their way. */
  readonly differing: readonly string[];
}

/** What a database has of `after` < email <= `until`. */
interface Piece {
  readonly after: string;
  readonly until: string;
  readonly rows: number;
  /** The sum of its rows' hashes. */
  readonly hash: string | null;
}

interface Row {
  readonly email: string;
  readonly hash: string;
}

/** Rows that are read one by one at once, of each database: some MB. */
const LISTED = 32 * PIECE;
/** A piece of which a database has more is cut into pieces anew. */
const LISTED_AS_IT_IS = 4 * PIECE;

/** Emails in the order of their bytes, whatever the tables' collations. */
const EMAIL = 's.email COLLATE "C"';

const nextPiece = (after: string): string =>
  `coalesce((SELECT ${EMAIL} FROM subscriptions s WHERE ${EMAIL} > ${after} AND ${EMAIL} <= $2 ORDER BY ${EMAIL} OFFSET ${PIECE - 1} LIMIT 1), $2)`;

/** Goes over the index for the pieces' ends, and over the rows of each. */
const cut = ({ hash }: RowExpressions): string => `
WITH RECURSIVE piece AS (
  SELECT 1 AS n, $1::text COLLATE "C" AS after, ${nextPiece('$1')} COLLATE "C" AS until
  UNION ALL
  SELECT n + 1, until, ${nextPiece('piece.until')} COLLATE "C" FROM piece WHERE until < $2 AND n < $3
)
${summaryOf(hash)}`;

const summarise = ({ hash }: RowExpressions): string => `
WITH piece AS (SELECT * FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p(after, until, n))
${summaryOf(hash)}`;

function summaryOf(hash: string): string {
  return `SELECT after, until, r.rows, r.hash FROM piece CROSS JOIN LATERAL (
  SELECT count(*)::int AS rows, sum(${hash})::text AS hash FROM subscriptions s WHERE ${EMAIL} > piece.after AND ${EMAIL} <= piece.until
) r ORDER BY n`;
}

const list = ({ text }: RowExpressions): string => `
SELECT s.email, md5(${text}) AS hash FROM unnest($1::text[], $2::text[]) AS p(after, until)
CROSS JOIN LATERAL (SELECT * FROM subscriptions s WHERE ${EMAIL} > p.after AND ${EMAIL} <= p.until) s`;

/**
 * Compares `after` < email <= `until`, a range at a time, in the order of the emails. The leader cuts its rows into pieces of
 * {@link PIECE} and hashes each; meanwhile the other database hashes the same pieces of the range before. Only pieces that differ are
 * read row by row. Locks nothing, and holds a few MB however many rows differ.
 */
export async function* compare(
  sides: readonly [Side, Side],
  after: string,
  until: string,
  size: AdaptiveChunk,
  leader: 0 | 1 = 0,
): AsyncGenerator<Compared> {
  let leading: Promise<Piece[]> | undefined = cutNext(sides[leader], after, until, size);
  while (leading) {
    const mine: Piece[] = await leading;
    const last: string = mine.at(-1)!.until;
    leading = last !== until ? cutNext(sides[leader], last, until, size) : undefined;
    // Whoever stops here does not wait for it.
    leading?.catch(() => undefined);
    const theirs = await follow(sides[1 - leader]!, mine, size);
    yield* settleRange(sides, leader === 0 ? [mine, theirs] : [theirs, mine], size);
  }
}

/** The last email that either database has; undefined when both are empty. */
export async function lastEmail(databases: readonly DataSource[]): Promise<string | undefined> {
  const sql = `SELECT ${EMAIL} AS email FROM subscriptions s ORDER BY ${EMAIL} DESC LIMIT 1`;
  const found = await Promise.all(databases.map((database) => database.query<{ email: string }[]>(sql)));
  return found
    .flat()
    .map(({ email }) => email)
    .sort(byBytes)
    .at(-1);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function cutNext({ database, row }: Side, after: string, until: string, size: AdaptiveChunk): Promise<Piece[]> {
  const { pieces } = size;
  return timed(size, pieces, () => database.query<Piece[]>(cut(row), [after, until, pieces]));
}

async function follow({ database, row }: Side, pieces: readonly Piece[], size: AdaptiveChunk): Promise<Piece[]> {
  return timed(size, pieces.length, () => database.query<Piece[]>(summarise(row), boundsOf(pieces)));
}

async function timed(size: AdaptiveChunk, pieces: number, query: () => Promise<Piece[]>): Promise<Piece[]> {
  const started = performance.now();
  const found = await query();
  size.took(Math.min(pieces, found.length), performance.now() - started);
  return found;
}

function boundsOf(pieces: readonly Piece[]): [string[], string[]] {
  return [pieces.map(({ after }) => after), pieces.map(({ until }) => until)];
}

/** Of pieces that differ, whose rows are counted in both databases. */
async function* settleRange(sides: readonly [Side, Side], [one, two]: [Piece[], Piece[]], size: AdaptiveChunk): AsyncGenerator<Compared> {
  let rows = 0;
  let waiting: Piece[] = [];
  let listed = 0;
  for (const [i, mine] of one.entries()) {
    const theirs = two[i]!;
    const most = Math.max(mine.rows, theirs.rows);
    const same = mine.rows === theirs.rows && mine.hash === theirs.hash;
    if (!same && (listed + most > LISTED || most > LISTED_AS_IT_IS)) {
      yield { last: mine.after, rows, differing: await listDiffering(sides, waiting) };
      [rows, waiting, listed] = [0, [], 0];
    }
    if (!same && most > LISTED_AS_IT_IS) {
      yield* compare(sides, mine.after, mine.until, size, mine.rows > theirs.rows ? 0 : 1);
      continue;
    }
    rows += mine.rows;
    if (same) continue;
    waiting.push(mine);
    listed += most;
  }
  yield { last: one.at(-1)!.until, rows, differing: await listDiffering(sides, waiting) };
}

async function listDiffering(sides: readonly [Side, Side], pieces: readonly Piece[]): Promise<string[]> {
  if (pieces.length === 0) return [];
  const [rows1, rows2] = await Promise.all(sides.map(({ database, row }) => database.query<Row[]>(list(row), boundsOf(pieces))));
  const hashes = new Map(rows1!.map(({ email, hash }) => [email, hash]));
  const found: string[] = [];
  for (const { email, hash } of rows2!) {
    if (hashes.get(email) !== hash) found.push(email);
    hashes.delete(email);
  }
  return [...found, ...hashes.keys()];
}

import type { DataSource } from 'typeorm';
import type { OrderedRows, RowExpressions, RowSource } from './row-fingerprint.js';

/** Number of rows of a piece, the unit that is hashed. When the hashes differ, its rows are compared one by one. */
const PIECE_ROWS = 256;
/** Maximum number of rows of each database that are listed at once: some MB. */
const MAX_LISTED_ROWS = 32 * PIECE_ROWS;
/** A piece that has more rows than this in one database is cut into pieces again. */
const MAX_LISTED_PIECE_ROWS = 4 * PIECE_ROWS;

/** A database, and the SQL expressions for its rows. */
export interface Side {
  readonly database: DataSource;
  readonly row: RowExpressions;
}

/** A database whose rows can be read in the order of their emails. */
export type OrderedSide = Side & OrderedRows;

export interface Compared {
  /** All emails up to this one have been compared. */
  readonly last: string;
  /** Number of DB1's rows among them. */
  readonly rows: number;
  /** Emails whose rows differ between the databases, which were read at two moments: changes may still be on their way. */
  readonly differing: readonly string[];
}

/** The rows of one database with `after` < email <= `until`. */
interface Piece {
  readonly after: string;
  readonly until: string;
  readonly rows: number;
  /** The sum of the rows' hashes. */
  readonly hash: string | null;
}

interface Row {
  readonly email: string;
  readonly hash: string;
}

const nextPiece = ({ emails, email }: RowSource, after: string): string =>
  `coalesce((SELECT ${email} FROM ${emails} WHERE ${email} > ${after} AND ${email} <= $2 ORDER BY ${email} OFFSET ${PIECE_ROWS - 1} LIMIT 1), $2)`;

/** Finds the ends of the pieces in the index, and summarises the rows of each. */
const cutStatement = (side: OrderedSide): string => `
WITH RECURSIVE piece AS (
  SELECT 1 AS n, $1::text COLLATE "C" AS after, ${nextPiece(side.source, '$1')} COLLATE "C" AS until
  UNION ALL
  SELECT n + 1, until, ${nextPiece(side.source, 'piece.until')} COLLATE "C" FROM piece WHERE until < $2 AND n < $3
)
${summaryOf(side)}`;

const summariseStatement = (side: OrderedSide): string => `
WITH piece AS (SELECT * FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p(after, until, n))
${summaryOf(side)}`;

function summaryOf({ row, source: { from, email } }: OrderedSide): string {
  return `SELECT after, until, r.rows, r.hash FROM piece CROSS JOIN LATERAL (
  SELECT count(*)::int AS rows, sum(${row.hash})::text AS hash FROM ${from} WHERE ${email} > piece.after AND ${email} <= piece.until
) r ORDER BY n`;
}

/** Without OFFSET, PostgreSQL may join the other way round: it then reads the whole table once, however few rows the pieces have. */
const listStatement = ({ row, source: { from, email } }: OrderedSide): string => `
SELECT r.email, r.hash FROM unnest($1::text[], $2::text[]) AS p(after, until)
CROSS JOIN LATERAL (
  SELECT ${email} AS email, md5(${row.text}) AS hash FROM ${from} WHERE ${email} > p.after AND ${email} <= p.until OFFSET 0
) r`;

/**
 * Compares `after` < email <= `until`, one range at a time, in the order of the emails. The leader cuts its rows into pieces of
 * {@link PIECE_ROWS} and hashes each; meanwhile the other database hashes the same pieces of the previous range. Only pieces that differ
 * are read row by row, by the md5 of each row's text. Locks nothing, and holds a few MB however many rows differ.
 */
export async function* compare(
  sides: readonly [OrderedSide, OrderedSide],
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
    // A caller that stops here does not wait for it.
    leading?.catch(() => undefined);
    const theirs = await hashSamePieces(sides[1 - leader]!, mine, size);
    yield* compareRange(sides, leader === 0 ? [mine, theirs] : [theirs, mine], size);
  }
}

/** Returns the last email of both databases; undefined when both are empty. */
export async function lastEmail(sides: readonly OrderedRows[]): Promise<string | undefined> {
  const found = await Promise.all(
    sides.map(({ database, source: { emails, email } }) =>
      database.query<{ email: string }[]>(
        `SELECT ${email} AS email FROM ${emails} WHERE ${email} IS NOT NULL ORDER BY ${email} DESC LIMIT 1`,
      ),
    ),
  );
  return found
    .flat()
    .map(({ email }) => email)
    .sort(byBytes)
    .at(-1);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function cutNext(side: OrderedSide, after: string, until: string, size: AdaptiveChunk): Promise<Piece[]> {
  const { pieces } = size;
  return timed(size, pieces, () => side.database.query<Piece[]>(cutStatement(side), [after, until, pieces]));
}

async function hashSamePieces(side: OrderedSide, pieces: readonly Piece[], size: AdaptiveChunk): Promise<Piece[]> {
  return timed(size, pieces.length, () => side.database.query<Piece[]>(summariseStatement(side), boundsOf(pieces)));
}

async function timed(size: AdaptiveChunk, pieces: number, query: () => Promise<Piece[]>): Promise<Piece[]> {
  const started = performance.now();
  const found = await query();
  size.record(Math.min(pieces, found.length), performance.now() - started);
  return found;
}

function boundsOf(pieces: readonly Piece[]): [string[], string[]] {
  return [pieces.map(({ after }) => after), pieces.map(({ until }) => until)];
}

/** Compares the pieces of a range, which both databases have summarised. */
async function* compareRange(
  sides: readonly [OrderedSide, OrderedSide],
  [one, two]: [Piece[], Piece[]],
  size: AdaptiveChunk,
): AsyncGenerator<Compared> {
  let rows = 0;
  let toList: Piece[] = [];
  let listed = 0;
  for (const [i, mine] of one.entries()) {
    const theirs = two[i]!;
    const most = Math.max(mine.rows, theirs.rows);
    const isEqual = mine.rows === theirs.rows && mine.hash === theirs.hash;
    if (!isEqual && (listed + most > MAX_LISTED_ROWS || most > MAX_LISTED_PIECE_ROWS)) {
      yield { last: mine.after, rows, differing: await listDiffering(sides, toList) };
      [rows, toList, listed] = [0, [], 0];
    }
    if (!isEqual && most > MAX_LISTED_PIECE_ROWS) {
      yield* compare(sides, mine.after, mine.until, size, mine.rows > theirs.rows ? 0 : 1);
      continue;
    }
    rows += mine.rows;
    if (isEqual) continue;
    toList.push(mine);
    listed += most;
  }
  yield { last: one.at(-1)!.until, rows, differing: await listDiffering(sides, toList) };
}

async function listDiffering(sides: readonly [OrderedSide, OrderedSide], pieces: readonly Piece[]): Promise<string[]> {
  if (pieces.length === 0) return [];
  const [rows1, rows2] = await Promise.all(sides.map((side) => side.database.query<Row[]>(listStatement(side), boundsOf(pieces))));
  const hashes = new Map(rows1!.map(({ email, hash }) => [email, hash]));
  const found: string[] = [];
  for (const { email, hash } of rows2!) {
    if (hashes.get(email) !== hash) found.push(email);
    hashes.delete(email);
  }
  return [...found, ...hashes.keys()];
}

const FIRST_PIECES = 16;
const MAX_PIECES = 512;
/** Maximum factor by which the chunk grows or shrinks from one query to the next: a single slow query says little. */
const MAX_STEP = 2;

/** Chooses how many pieces a query covers, so that it takes about as long as intended, however busy or slow the databases are. */
export class AdaptiveChunk {
  private wanted = FIRST_PIECES;

  /** `targetMs`: intended duration (ms) of a query. */
  constructor(private readonly targetMs: number) {}

  get pieces(): number {
    return Math.round(this.wanted);
  }

  /** Records how long a query took. A query at the end of a range covers fewer pieces than requested, and is ignored. */
  record(pieces: number, ms: number): void {
    if (pieces < this.pieces) return;
    const fitting = (this.wanted * this.targetMs) / Math.max(ms, 1);
    this.wanted = Math.min(MAX_PIECES, Math.max(1, Math.min(this.wanted * MAX_STEP, Math.max(this.wanted / MAX_STEP, fitting))));
  }
}

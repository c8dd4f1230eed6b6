import type { DataSource } from 'typeorm';
import { BATCH } from '#change-log';
import { imageExpression, queryPrepared, type SubscriptionTable } from '#postgres';
import { type ReplicaTable, rowExpression } from '#replica';
import type { RowSource } from './row-fingerprint.js';
import type { Label } from './runs.js';

/** Progress over the next rows of a range: `last` is the email of the last one. */
export interface Step {
  readonly last: string;
  readonly rows: number;
}

/**
 * SQL for the next rows with $1 < email <= $2, as `written`, the email as the row has it, `email`, its key, and `text`, the row's JSON, in the
 * order of `written`: at most $3 rows and a batch's bytes; a larger row comes alone.
 */
export function keysetChunk({ from, email }: RowSource, { columns }: SubscriptionTable): string {
  return `
WITH rows AS MATERIALIZED (
  SELECT ${email} AS written, ${imageExpression(columns, 's')} AS text FROM ${from}
  WHERE ${email} > $1 AND ${email} <= $2
  ORDER BY ${email} LIMIT $3
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(octet_length(text)) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY written)
)
SELECT written, subscription_sync.normalize_email(written) AS email, text FROM sized WHERE n = 1 OR bytes <= ${BATCH.bytes} ORDER BY n`;
}

/** The guard takes each key once: of rows whose spellings have the same key, the last one is copied. */
const chunkOf = (source: RowSource, table: SubscriptionTable): string => `
WITH chunk AS MATERIALIZED (${keysetChunk(source, table)})
SELECT max(written) AS last, count(*)::int AS rows, (
    SELECT '[' || coalesce(string_agg(${rowExpression('text', 'email', '$4::bigint')}, ','), '') || ']'
    FROM (SELECT DISTINCT ON (email) email, text FROM chunk WHERE email <> '' ORDER BY email, written DESC) one
  ) AS images
FROM chunk`;

/** Number of batches that are applied at once, so that one is written while another one is committed. More were no faster. */
const CONCURRENT_COPIES = 2;

interface Chunk extends Step {
  /** The rows, as a JSON array. */
  readonly images: string;
}

/** Copies rows from DB1 to DB2 with the label as their version and under the replica's guard. Nothing is written to DB1 or to Kafka. */
export class CopyRows {
  private readonly chunk = new KeysetChunk();

  constructor(
    private readonly db1: DataSource,
    private readonly db2: DataSource,
    private readonly table: ReplicaTable,
    private readonly rowsOfDb1: { readonly source: RowSource; readonly table: SubscriptionTable },
    private readonly label: Label,
    /** Called with a range `after` < email <= `until` when DB2 refuses some of its rows. */
    private readonly onRefused: (after: string, until: string) => Promise<void>,
  ) {}

  /** Copies the rows with `after` < email <= `until`. Yields its progress after each batch, in their order. */
  async *rows(after: string, until: string): AsyncGenerator<Step, void, void> {
    const copies: Promise<Step>[] = [];
    try {
      let from = after;
      for await (const chunk of readAhead(after, (email) => this.read(email, until))) {
        const copy = this.copy(from, chunk);
        // An error is thrown when it is the copy's turn.
        copy.catch(() => undefined);
        copies.push(copy);
        if (copies.length === CONCURRENT_COPIES) yield await copies.shift()!;
        from = chunk.last;
      }
      while (copies.length > 0) yield await copies.shift()!;
    } finally {
      await Promise.allSettled(copies);
    }
  }

  private async copy(after: string, { last, rows, images }: Chunk): Promise<Step> {
    const columns = this.rowsOfDb1.table.columns.map(({ name }) => name);
    try {
      await this.apply(columns, images);
    } catch (error) {
      this.table.forget();
      if ((await this.table.refusalOf(this.db2.manager, error, columns, images)) === undefined) throw error;
      await this.onRefused(after, last);
    }
    return { last, rows };
  }

  private async read(after: string, until: string): Promise<Chunk | undefined> {
    const { source, table } = this.rowsOfDb1;
    const [chunk] = await this.db1.query<[Chunk]>(chunkOf(source, table), [after, until, this.chunk.rows, this.label.version]);
    this.chunk.record(chunk.rows);
    return chunk.rows === 0 ? undefined : chunk;
  }

  private async apply(columns: readonly string[], images: string): Promise<void> {
    const { manager } = this.db2;
    await queryPrepared(manager, await this.table.applyStatement(manager, columns, false), [images, '[]']);
  }
}

const MIN_CHUNK_ROWS = 64;

/**
 * Chooses how many rows to request. The database creates the text of all requested rows, even of those that then do not fit, and their
 * size is unknown: few rows at first, and twice as many whenever all of them fitted.
 */
export class KeysetChunk {
  rows = MIN_CHUNK_ROWS;

  record(rows: number): void {
    this.rows = Math.min(rows < this.rows ? rows + 1 : rows * 2, BATCH.changes);
  }
}

/** Reads the next chunk while the caller works on the current one. `read` returns the chunk after an email; undefined at the end. */
export async function* readAhead<T extends { readonly last: string }>(
  after: string,
  read: (after: string) => Promise<T | undefined>,
): AsyncGenerator<T, void, void> {
  for (let next = read(after); ;) {
    const chunk = await next;
    if (chunk === undefined) return;
    next = read(chunk.last);
    // An error is thrown when the chunk is awaited, if it ever is.
    next.catch(() => undefined);
    yield chunk;
  }
}

import type { DataSource } from 'typeorm';
import { BATCH } from '#change-log';
import { DEFAULT_TIMINGS } from '#config';
import { queryPrepared } from '#postgres';
import { isRefusedData, ReplicaTable } from '#replica';

const MIN_CHUNK_ROWS = 64;

/** What happened to the next rows of a range: `last` is the email of the last one. */
export interface Step {
  readonly last: string;
  readonly rows: number;
}

/**
 * SQL for the next rows by email, $1 < email <= $2, as `email` and `text`, in order: $3 at most, and of a batch's bytes; a row that is
 * larger comes alone. `text`: an expression of `s`, the row. Rows of version 0, which the log never knew, are left out.
 */
export function keysetChunk(text: string, join = ''): string {
  return `
WITH rows AS MATERIALIZED (
  SELECT s.email, ${text} AS text
  FROM subscriptions s ${join}
  WHERE s.email COLLATE "C" > $1 AND s.email COLLATE "C" <= $2 AND s.version > 0
  ORDER BY s.email COLLATE "C" LIMIT $3
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(octet_length(text)) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY email COLLATE "C")
)
SELECT email, text FROM sized WHERE n = 1 OR bytes <= ${BATCH.bytes} ORDER BY n`;
}

/**
 * How many rows to ask for. The database makes the text of all of them, also of those that then don't fit, and nobody knows how large
 * they are: few at first, twice as many after each time that all fitted.
 */
export class KeysetChunk {
  rows = MIN_CHUNK_ROWS;

  took(rows: number): void {
    this.rows = Math.min(rows < this.rows ? rows + 1 : rows * 2, BATCH.changes);
  }
}

/** Reads on while the caller works on what it has. `read`: what follows an email; nothing at the end. */
export async function* readAhead<T extends { readonly last: string }>(
  after: string,
  read: (after: string) => Promise<T | undefined>,
): AsyncGenerator<T, void, void> {
  for (let next = read(after); ;) {
    const chunk = await next;
    if (chunk === undefined) return;
    next = read(chunk.last);
    // Its failure is told when it is awaited, if it ever is.
    next.catch(() => undefined);
    yield chunk;
  }
}

const COLUMNS = `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'subscriptions'::regclass AND attnum > 0 AND NOT attisdropped`;

const CHUNK = `
SELECT max(email COLLATE "C") AS last, count(*)::int AS rows, '[' || string_agg(text, ',') || ']' AS images
FROM (${keysetChunk('row_to_json(s)::text')}) chunk`;

interface Chunk extends Step {
  /** A JSON array of rows. */
  readonly images: string;
}

/**
 * Copies rows from DB1 to DB2 as they are, with the versions that they have and under the replica's guard: what their events did, or
 * will do. A change that is made meanwhile has a higher version and wins, whoever comes first; a row that DB2 has in that version
 * stays as it is there, right or wrong. Nothing is written to DB1, and nothing to Kafka.
 */
export class CopyRows {
  private readonly table = new ReplicaTable(DEFAULT_TIMINGS);
  private readonly portion = new KeysetChunk();

  constructor(
    private readonly db1: DataSource,
    private readonly db2: DataSource,
    /** Rows of `after` < email <= `until`, some of which DB2 refuses. */
    private readonly refused: (after: string, until: string) => Promise<void>,
  ) {}

  /** Of `after` < email <= `until`. Yields where it is, each time DB2 has some more rows. */
  async *rows(after: string, until: string): AsyncGenerator<Step, void, void> {
    const columns = (await this.db1.query<{ name: string }[]>(COLUMNS)).map(({ name }) => name);
    let done = after;
    for await (const { last, rows, images } of readAhead(after, (from) => this.read(from, until))) {
      try {
        await this.apply(columns, images);
      } catch (error) {
        if (!isRefusedData(error)) throw error;
        await this.refused(done, last);
      }
      done = last;
      yield { last, rows };
    }
  }

  private async read(after: string, until: string): Promise<Chunk | undefined> {
    const [chunk] = await this.db1.query<[Chunk]>(CHUNK, [after, until, this.portion.rows]);
    this.portion.took(chunk.rows);
    return chunk.rows === 0 ? undefined : chunk;
  }

  private async apply(columns: readonly string[], images: string): Promise<void> {
    const { manager } = this.db2;
    await queryPrepared(manager, await this.table.applyStatement(manager, columns, false), [images]);
  }
}

import type { DataSource } from 'typeorm';
import { queryPrepared } from '#postgres';
import { isRefusedData, ReplicaTable } from '#replica';
import { nextRows, Portion, readAhead, type Step } from './next-rows.js';

const COLUMNS = `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'subscriptions'::regclass AND attnum > 0 AND NOT attisdropped`;

const CHUNK = `
SELECT max(email COLLATE "C") AS last, count(*)::int AS rows, '[' || string_agg(text, ',') || ']' AS images
FROM (${nextRows('row_to_json(s)::text')}) chunk`;

interface Chunk extends Step {
  /** A JSON array of rows. */
  readonly images: string;
}

/**
 * Copies rows from DB1 to DB2 as they are, with the versions that they have and under the replica's guard: what their events did, or
 * will do. A change that is made meanwhile has a higher version and wins, whoever comes first; a row that DB2 has in that version
 * stays as it is there, right or wrong. Nothing is written to DB1, and nothing to Kafka.
 */
export class Copy {
  private readonly table = new ReplicaTable();
  private readonly portion = new Portion();

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

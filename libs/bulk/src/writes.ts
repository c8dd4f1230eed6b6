import type { ImportRow } from './import-line.js';

/** Of one statement. Characters, too, so that memory does not depend on the file. */
const BATCH = { rows: 1_000, characters: 2 * 1024 * 1024 };
/** What a row takes beside its metadata, about. */
const ROW_CHARACTERS = 200;
/** Statements at once: the triggers keep one core of DB1 busy for each. */
const AT_ONCE = 2;

/** Rows in the order of the file, and the place of the last one of each email. */
interface Batch {
  readonly rows: ImportRow[];
  readonly last: Map<string, number>;
}

/**
 * Puts the rows of a file into batches, and writes some at once. Per email the order of the file holds: a batch has its rows in that order,
 * and waits for those that have an email of its own.
 */
export class Writes {
  private batch: Batch = emptyBatch();
  private characters = 0;
  private readonly underWay = new Map<Batch, Promise<void>>();
  private failure: { readonly error: unknown } | undefined;

  constructor(private readonly write: (rows: readonly ImportRow[]) => Promise<void>) {}

  get full(): boolean {
    return this.batch.rows.length >= BATCH.rows || this.characters >= BATCH.characters;
  }

  /**
   * @returns whether it takes the place of an earlier row of the batch. Only one that the lifecycle judges alike does: of others, the earlier
   * decides whether the later may follow.
   */
  add(row: ImportRow): boolean {
    const { rows, last } = this.batch;
    const key = row.email.trim().toLowerCase().normalize('NFC');
    const place = last.get(key) ?? rows.length;
    const before = rows[place];
    const replaces = before?.status === row.status && before.reactivate === row.reactivate;
    this.characters += ROW_CHARACTERS + (Object.keys(row.metadata).length > 0 ? JSON.stringify(row.metadata).length : 0);
    if (replaces) {
      rows[place] = row;
    } else {
      last.set(key, rows.length);
      rows.push(row);
    }
    return replaces;
  }

  /** Begins to write what was added; resolves when the next rows may be read. @throws what a write before has thrown. */
  async begin(): Promise<void> {
    const { batch } = this;
    this.batch = emptyBatch();
    this.characters = 0;
    while (this.underWay.size >= AT_ONCE || [...this.underWay.keys()].some((other) => overlap(other, batch))) {
      await Promise.race(this.underWay.values());
    }
    if (this.failure) throw this.failure.error;
    if (batch.rows.length === 0) return;
    const writing = this.write(batch.rows)
      .catch((error: unknown) => void (this.failure ??= { error }))
      .finally(() => this.underWay.delete(batch));
    this.underWay.set(batch, writing);
  }

  /** Writes the rest, and resolves when all is written. @throws what a write has thrown. */
  async end(): Promise<void> {
    try {
      await this.begin();
    } finally {
      await Promise.all(this.underWay.values());
    }
    if (this.failure) throw this.failure.error;
  }
}

function emptyBatch(): Batch {
  return { rows: [], last: new Map() };
}

function overlap(one: Batch, other: Batch): boolean {
  for (const key of one.last.keys()) if (other.last.has(key)) return true;
  return false;
}

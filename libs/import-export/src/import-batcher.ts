import { illegalTransition } from '#events';
import { type Database, hasSqlstate, SQLSTATE } from '#postgres';
import type { ImportRow, LineError } from './import-lines.js';

/** Of one statement. Characters, too, so that memory does not depend on the file. */
const BATCH = { rows: 1_000, characters: 2 * 1024 * 1024 };
/** What a row takes beside its metadata, about. */
const ROW_CHARACTERS = 200;
/** Statements at once: the triggers keep one core of DB1 busy for each. */
const MAX_IN_FLIGHT = 2;

/** Rows in the order of the file, and the place of the last one of each email. */
interface Batch {
  readonly rows: ImportRow[];
  readonly last: Map<string, number>;
}

/**
 * Puts the rows of a file into batches, and writes some at once. Per email the order of the file holds: a batch has its rows in that order,
 * and waits for those that have an email of its own.
 */
export class ImportBatcher {
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
    while (this.underWay.size >= MAX_IN_FLIGHT || [...this.underWay.keys()].some((other) => overlap(other, batch))) {
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

/** Who imports: recorded with each change. */
export interface ImportContext {
  readonly actor: string;
  readonly origin: 'api';
  readonly traceparent: string | undefined;
}

/** What became of some lines. */
interface Written {
  readonly created: number;
  readonly updated: number;
  readonly refused: readonly LineError[];
}

const IMPORT = 'SELECT created, updated, refused FROM subscription_import_rows($1, $2)';

/** A line that the lifecycle does not allow: it would set `status` where `before` is. */
interface Forbidden {
  readonly line: number;
  readonly before: string;
  readonly status: string;
  readonly reactivate: boolean;
}

/**
 * Writes the rows, those of one email in their order: one statement, one transaction. When the database refuses a row, the rows are divided
 * and tried apart, until those that it refuses are alone. With `dryRun` it does the same and takes it back.
 * @throws what the database answers when it can't be asked.
 */
export async function writeLines(db1: Database, rows: readonly ImportRow[], context: ImportContext, dryRun: boolean): Promise<Written> {
  try {
    const { created, updated, refused } = await write(db1, rows, context, dryRun);
    return { created, updated, refused: refused.map(whyForbidden) };
  } catch (error) {
    const detail = refusal(error);
    if (detail === undefined) throw error;
    if (rows.length === 1) return { created: 0, updated: 0, refused: [{ line: rows[0]!.line, detail }] };
    const middle = Math.ceil(rows.length / 2);
    const first = await writeLines(db1, rows.slice(0, middle), context, dryRun);
    const second = await writeLines(db1, rows.slice(middle), context, dryRun);
    return {
      created: first.created + second.created,
      updated: first.updated + second.updated,
      refused: [...first.refused, ...second.refused],
    };
  }
}

interface Outcome extends Pick<Written, 'created' | 'updated'> {
  readonly refused: readonly Forbidden[];
}

async function write(db1: Database, rows: readonly ImportRow[], context: ImportContext, dryRun: boolean): Promise<Outcome> {
  const values = [JSON.stringify(rows), context];
  if (!dryRun) return (await db1.query<Outcome>(IMPORT, values))[0]!;
  let outcome: Outcome | undefined;
  const takeBack = new Error('dry run');
  await db1
    .transaction(async (manager) => {
      outcome = (await manager.query<Outcome[]>(IMPORT, values))[0]!;
      throw takeBack;
    })
    .catch((error: unknown) => {
      if (error !== takeBack) throw error;
    });
  return outcome!;
}

/** What the problem of a single write says, and the way out in the words of a line. */
function whyForbidden({ line, before, status, reactivate }: Forbidden): LineError {
  const why = illegalTransition(before, reactivate);
  const may = why.allowed.length > 0 ? `what may is ${why.allowed.join(', ')}` : 'it is an end';
  const reactivation = why.allowed_by_reactivation?.join(', ');
  const detail = `${status} may not follow ${before}: ${may}${reactivation ? `; with reactivate true on the line ${reactivation} may` : ''}`;
  return { line, type: '/problems/illegal-transition', field: 'status', detail, ...why };
}

/**
 * Why the database refuses a row, when the row is what it refuses: constraints (class 23), values (22), rules of the table's owner
 * (P0001). Its own messages quote values.
 */
function refusal(error: unknown): string | undefined {
  if (hasSqlstate(error, SQLSTATE.integrityConstraintViolation)) {
    return `the database refuses the row: constraint ${error.constraint ?? 'NOT NULL'}`;
  }
  if (hasSqlstate(error, SQLSTATE.dataException)) return `the database refuses a value (SQLSTATE ${error.code})`;
  return hasSqlstate(error, SQLSTATE.raiseException) ? 'a rule of the table refuses the row' : undefined;
}

import { illegalTransition, type StatusTransitions } from '#events';
import { type Database, hasSqlstate, SQLSTATE } from '#postgres';
import { missingColumn, normaliseEmail } from '#subscriptions';
import type { ImportRow, LineError } from './import-lines.js';

/** Maximum size of a statement. Characters are bounded, too, so that memory does not depend on the file. */
const MAX_BATCH = { rows: 1_000, characters: 2 * 1024 * 1024 };
/** Approximate number of characters of a row without its metadata. */
const ROW_CHARACTERS = 200;
/**
 * Maximum number of concurrent statements: the triggers keep one core of DB1 busy for each. 100,000 lines cost DB1 8 s of CPU time and the
 * API 4.3 s. On 2 cores beside other work they took 34 s with two statements, and 48 s with one.
 */
const MAX_IN_FLIGHT = 2;

/** Rows in the order of the file, and the index of the last row of each email. */
interface Batch {
  readonly rows: ImportRow[];
  readonly lastIndex: Map<string, number>;
}

/**
 * Collects the rows of a file in batches and writes some of them concurrently. The order of the file holds for each email: a batch keeps
 * the order of its rows, and waits for running batches that have an email in common with it.
 */
export class ImportBatcher {
  private batch: Batch = emptyBatch();
  private characters = 0;
  private readonly inFlight = new Map<Batch, Promise<void>>();
  private failure: { readonly error: unknown } | undefined;

  constructor(private readonly write: (rows: readonly ImportRow[]) => Promise<void>) {}

  get full(): boolean {
    return this.batch.rows.length >= MAX_BATCH.rows || this.characters >= MAX_BATCH.characters;
  }

  /**
   * Adds a row. Returns whether it replaces an earlier row of the batch with the same email. It does so only where both would set the same
   * status with the same `reactivate`; otherwise the earlier row decides whether the later status may follow.
   */
  add(row: ImportRow): boolean {
    const { rows, lastIndex } = this.batch;
    const key = normaliseEmail(row.email);
    const index = lastIndex.get(key) ?? rows.length;
    const earlier = rows[index];
    const replaces = earlier !== undefined && earlier.status === row.status && earlier.reactivate === row.reactivate;
    this.characters += ROW_CHARACTERS + (hasMembers(row.metadata) ? JSON.stringify(row.metadata).length : 0);
    if (replaces) {
      rows[index] = row;
    } else {
      lastIndex.set(key, rows.length);
      rows.push(row);
    }
    return replaces;
  }

  /** Starts writing the collected rows. Resolves when more rows may be read. @throws the error of an earlier write. */
  async flush(): Promise<void> {
    const { batch } = this;
    this.batch = emptyBatch();
    this.characters = 0;
    while (this.inFlight.size >= MAX_IN_FLIGHT || [...this.inFlight.keys()].some((other) => haveCommonEmail(other, batch))) {
      await Promise.race(this.inFlight.values());
    }
    if (this.failure) throw this.failure.error;
    if (batch.rows.length === 0) return;
    const writing = this.write(batch.rows)
      .catch((error: unknown) => void (this.failure ??= { error }))
      .finally(() => this.inFlight.delete(batch));
    this.inFlight.set(batch, writing);
  }

  /** Writes the remaining rows. Resolves when everything is written. @throws the error of a write. */
  async end(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await Promise.all(this.inFlight.values());
    }
    if (this.failure) throw this.failure.error;
  }
}

function hasMembers(metadata: ImportRow['metadata']): boolean {
  return metadata !== undefined && Object.keys(metadata).length > 0;
}

function emptyBatch(): Batch {
  return { rows: [], lastIndex: new Map() };
}

function haveCommonEmail(one: Batch, other: Batch): boolean {
  for (const key of one.lastIndex.keys()) if (other.lastIndex.has(key)) return true;
  return false;
}

/** The importing caller, recorded with each change. */
export interface ImportContext {
  readonly actor: string;
  readonly origin: 'api';
  readonly traceparent: string | undefined;
}

export interface WriteOptions {
  readonly context: ImportContext;
  readonly dryRun: boolean;
  readonly transitions: StatusTransitions;
}

/** Result of writing some lines. */
interface WriteResult {
  readonly created: number;
  readonly updated: number;
  readonly refused: readonly LineError[];
}

const IMPORT = 'SELECT created, updated, refused FROM subscription_sync.import_rows($1, $2)';

/** A line whose status transition is not allowed: it would set `status` on a subscription that is `before`. */
interface TransitionRefusal {
  readonly line: number;
  readonly before: string;
  readonly status: string;
  readonly reactivate: boolean;
}

/**
 * Writes the rows in one statement and one transaction; rows of one email are written in their order. When the database refuses a row,
 * the rows are halved and each half is tried, until the refused rows are alone. With `dryRun` everything is rolled back.
 * @throws the database's error when it is not about a row.
 */
export async function writeRows(db1: Database, rows: readonly ImportRow[], options: WriteOptions): Promise<WriteResult> {
  try {
    const { created, updated, refused } = await write(db1, rows, options);
    return { created, updated, refused: refused.map((refusal) => describeTransition(options.transitions, refusal)) };
  } catch (error) {
    const detail = describeRefusal(error);
    if (detail === undefined) throw error;
    if (rows.length === 1) return { created: 0, updated: 0, refused: [{ line: rows[0]!.line, detail }] };
    const middle = Math.ceil(rows.length / 2);
    const first = await writeRows(db1, rows.slice(0, middle), options);
    const second = await writeRows(db1, rows.slice(middle), options);
    return {
      created: first.created + second.created,
      updated: first.updated + second.updated,
      refused: [...first.refused, ...second.refused],
    };
  }
}

interface StatementResult extends Pick<WriteResult, 'created' | 'updated'> {
  readonly refused: readonly TransitionRefusal[];
}

async function write(db1: Database, rows: readonly ImportRow[], { context, dryRun }: WriteOptions): Promise<StatementResult> {
  const values = [JSON.stringify(rows), context];
  if (!dryRun) return (await db1.query<StatementResult>(IMPORT, values))[0]!;
  let result: StatementResult | undefined;
  const rollback = new Error('dry run');
  await db1
    .transaction(async (manager) => {
      result = (await manager.query<StatementResult[]>(IMPORT, values))[0]!;
      throw rollback;
    })
    .catch((error: unknown) => {
      if (error !== rollback) throw error;
    });
  return result!;
}

/** Converts an illegal transition into the error reported for an import line. */
function describeTransition(transitions: StatusTransitions, { line, before, status, reactivate }: TransitionRefusal): LineError {
  const why = illegalTransition(transitions, before, reactivate);
  const allowed = why.allowed.length > 0 ? `allowed are ${why.allowed.join(', ')}` : `${before} is final`;
  const reactivation = why.allowed_by_reactivation?.join(', ');
  const hint = reactivation ? `; a line with reactivate true may also set ${reactivation}` : '';
  const detail = `${status} may not follow ${before}: ${allowed}${hint}`;
  return { line, type: '/problems/illegal-transition', field: 'status', detail, ...why };
}

/** Returns why the database refuses a row, or undefined for an error that is not about a row. The database's own messages quote values. */
function describeRefusal(error: unknown): string | undefined {
  if (hasSqlstate(error, SQLSTATE.notNullViolation) && error.column !== undefined) {
    return `the database refuses the row: ${missingColumn(error.column)}`;
  }
  if (hasSqlstate(error, SQLSTATE.integrityConstraintViolation)) {
    return `the database refuses the row: constraint ${error.constraint ?? 'NOT NULL'}`;
  }
  if (hasSqlstate(error, SQLSTATE.dataException)) return `the database refuses a value (SQLSTATE ${error.code})`;
  return hasSqlstate(error, SQLSTATE.raiseException) ? 'a rule of the table refuses the row' : undefined;
}

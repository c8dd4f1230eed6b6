import { isNativeError } from 'node:util/types';
import { illegalTransition } from '#events';
import type { Database } from '#postgres';
import type { ImportRow, LineError } from './import-line.js';

/** Who imports: recorded with each change. */
export interface ImportContext {
  readonly actor: string;
  readonly origin: 'api';
  readonly traceparent: string | undefined;
}

/** What became of some lines. */
export interface Written {
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
  if (!isNativeError(error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const { code, constraint } = error as { code: string; constraint?: string };
  if (code.startsWith('23')) return `the database refuses the row: constraint ${constraint ?? 'NOT NULL'}`;
  if (code.startsWith('22')) return `the database refuses a value (SQLSTATE ${code})`;
  return code === 'P0001' ? 'a rule of the table refuses the row' : undefined;
}

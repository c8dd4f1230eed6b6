import { isNativeError } from 'node:util/types';
import type { Database } from '#databases';
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

const IMPORT = 'SELECT created, updated FROM subscription_import($1, $2)';

/**
 * Writes the rows, an email once among them: one statement, one transaction. When the database refuses a row, the rows are divided and
 * tried apart, until those that it refuses are alone. With `dryRun` it does the same and takes it back.
 * @throws what the database answers when it can't be asked.
 */
export async function writeLines(db1: Database, rows: readonly ImportRow[], context: ImportContext, dryRun: boolean): Promise<Written> {
  try {
    return { ...(await write(db1, rows, context, dryRun)), refused: [] };
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

type Counts = Pick<Written, 'created' | 'updated'>;

async function write(db1: Database, rows: readonly ImportRow[], context: ImportContext, dryRun: boolean): Promise<Counts> {
  const values = [JSON.stringify(rows), context];
  if (!dryRun) return (await db1.query<Counts>(IMPORT, values))[0]!;
  let counts: Counts | undefined;
  const takeBack = new Error('dry run');
  await db1
    .transaction(async (manager) => {
      counts = (await manager.query<Counts[]>(IMPORT, values))[0]!;
      throw takeBack;
    })
    .catch((error: unknown) => {
      if (error !== takeBack) throw error;
    });
  return counts!;
}

/**
 * Why the database refuses a row, when the row is what it refuses: constraints (class 23), values (22), rules of the table's owner
 * (P0001), two spellings of one email in a statement (21). Its own messages quote values.
 */
function refusal(error: unknown): string | undefined {
  if (!isNativeError(error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const { code, constraint } = error as { code: string; constraint?: string };
  if (code.startsWith('23')) return `the database refuses the row: constraint ${constraint ?? 'NOT NULL'}`;
  if (code.startsWith('22')) return `the database refuses a value (SQLSTATE ${code})`;
  if (code === 'P0001') return 'a rule of the table refuses the row';
  return code.startsWith('21') ? 'the email is on a line nearby, in another spelling' : undefined;
}

import type { EntityManager } from 'typeorm';
import { isolateRefused, isUniqueViolation } from '#postgres';

const CHUNK = 2_000;

/** Rows that existed before the log's triggers have version 0: the log does not know them. */
const UNRECORDED = `SELECT email FROM subscriptions WHERE version = 0 AND email > $1 ORDER BY email LIMIT ${CHUNK}`;
/** Updates rows without changing them, so that the trigger gives them their first version and logs them as created. */
const RECORD = 'UPDATE subscriptions SET version = version WHERE email = ANY ($1) AND version = 0';

export interface RecordedRows {
  readonly rows: number;
  /** Number of rows that cannot be recorded, because their normalised email is that of another row. */
  readonly conflicting: number;
}

/**
 * Records every row that the log does not know yet, in short transactions, while other programs write. Without such rows it costs one scan
 * of the index.
 */
export async function recordExistingRows(db1: EntityManager, signal: AbortSignal): Promise<RecordedRows> {
  let rows = 0;
  let conflicting = 0;
  let after = '';
  while (!signal.aborted) {
    const chunk = await db1.query<{ email: string }[]>(UNRECORDED, [after]);
    const last = chunk.at(-1);
    if (!last) break;
    after = last.email;
    const emails = chunk.map(({ email }) => email);
    const refused = await isolateRefused(emails, (part) => record(db1, part));
    conflicting += refused.length;
    rows += emails.length - refused.length;
  }
  return { rows, conflicting };
}

/** Records the rows of these emails. Resolves with the reason when one of them is refused as a duplicate: then none is recorded. */
async function record(db1: EntityManager, emails: readonly string[]): Promise<'duplicate' | undefined> {
  try {
    await db1.query(RECORD, [emails]);
    return undefined;
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    return 'duplicate';
  }
}

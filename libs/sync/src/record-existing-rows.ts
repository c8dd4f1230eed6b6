import type { EntityManager } from 'typeorm';
import { isolateRefused, isUniqueViolation } from '#postgres';

const CHUNK = 2_000;

const IS_DONE = 'SELECT all_rows_recorded AS done FROM subscription_sync.installation';
const NEXT_EMAILS = `SELECT email FROM subscriptions WHERE email > $1 ORDER BY email LIMIT ${CHUNK}`;
const LOCK = 'SELECT email FROM subscriptions WHERE email = ANY ($1) ORDER BY email FOR UPDATE';
const NORMALISE = `
UPDATE subscriptions SET email = subscription_sync.normalize_email(email)
WHERE email = ANY ($1) AND email <> subscription_sync.normalize_email(email)`;
/** Appends the rows that the log does not know, as created. They are locked, so the log knows each change of them that was made before. */
const RECORD = `
SELECT count(subscription_sync.append_change('created', s))::int AS rows FROM subscriptions s
WHERE s.email IN (SELECT subscription_sync.normalize_email(e) FROM unnest($1::text[]) e)
  AND subscription_sync.newest_version(s.email) IS NULL`;

export interface RecordedRows {
  readonly rows: number;
  /** Number of rows that cannot be recorded, because their normalised email is that of another row. */
  readonly conflicting: number;
}

/**
 * Records every row that existed before the log's triggers, once, in short transactions, while other programs write. Until all rows are
 * recorded, each start looks at all of them.
 */
export async function recordExistingRows(db1: EntityManager, signal: AbortSignal): Promise<RecordedRows> {
  let rows = 0;
  let conflicting = 0;
  const [installation] = await db1.query<[{ done: boolean }]>(IS_DONE);
  if (installation.done) return { rows, conflicting };
  for (let after: string | undefined = ''; after !== undefined;) {
    if (signal.aborted) return { rows, conflicting };
    const chunk: { email: string }[] = await db1.query(NEXT_EMAILS, [after]);
    after = chunk.at(-1)?.email;
    const refused = await isolateRefused(
      chunk.map(({ email }) => email),
      async (part) => {
        const recorded = await record(db1, part);
        if (typeof recorded === 'number') rows += recorded;
        return typeof recorded === 'number' ? undefined : recorded;
      },
    );
    conflicting += refused.length;
  }
  if (conflicting === 0) await db1.query('UPDATE subscription_sync.installation SET all_rows_recorded = true');
  return { rows, conflicting };
}

/** Records the rows of these emails. Resolves with the reason when one of them is refused as a duplicate: then none is recorded. */
async function record(db1: EntityManager, emails: readonly string[]): Promise<number | 'duplicate'> {
  try {
    return await db1.transaction(async (manager) => {
      await manager.query(LOCK, [emails]);
      await manager.query(NORMALISE, [emails]);
      const [recorded] = await manager.query<[{ rows: number }]>(RECORD, [emails]);
      return recorded.rows;
    });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    return 'duplicate';
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { Difference } from './recheck-rows.js';

const CHUNK = 1_000;
/** How long the writers of that moment may take before a deletion is put off. */
const WRITERS_MS = 5_000;
const POLL_INTERVAL_MS = 5;
/**
 * The sequence is moved so far above the highest version that DB2 has. Records that are published and not applied may be above that;
 * and between the look at the sequence and its move others draw from it.
 */
const ROOM = 1_000_000;
/** Versions are JSON numbers: exact below 2^53. One near that is no version of ours. */
const HIGHEST = 2 ** 52;

const CONTEXT = `SELECT set_config('subscription_sync.actor', 'reconciliation', true), set_config('subscription_sync.reason', $1, true)`;

/**
 * Appends a change for each difference, with a version above all that DB2 has: `resynced` with the row as it is under its lock, or
 * `deleted` where DB1 has no such row. They travel the same road as any change, so a newer change always wins.
 * @returns how many were appended. Others have changed meanwhile, or have to wait for a writer: they are to be looked at again.
 */
export async function repair(
  db1: DataSource,
  db2: DataSource,
  differences: readonly Difference[],
  reason: string,
  signal: AbortSignal,
): Promise<number> {
  let appended = 0;
  for (let from = 0; from < differences.length; from += CHUNK) {
    signal.throwIfAborted();
    const chunk = differences.slice(from, from + CHUNK);
    await drawAbove(db1, Math.max(...chunk.map(({ versionInDb2 }) => versionInDb2)));
    const emails = (inDb1: boolean): string[] => chunk.filter((row) => row.inDb1 === inDb1).map(({ email }) => email);
    appended += await resync(db1, emails(true), reason);
    appended += await deleteExtra(db1, db2, emails(false), reason);
  }
  return appended;
}

/** From now on DB1 draws versions above this one. @throws Error when it is no version of ours. */
export async function drawAbove(db1: DataSource, version: number): Promise<void> {
  if (version > HIGHEST) {
    throw new Error(
      `DB2 has version ${version}, which DB1 never drew and can't go beyond: delete that row from DB2.replicated_subscriptions, and its version from replica_positions`,
    );
  }
  await db1.query(`SELECT setval('subscription_version', $1) FROM subscription_version WHERE last_value < $2`, [version + ROOM, version]);
}

/** Two statements: joined in one, the planner reads the whole table to find them again, for each chunk of it. */
function resync(db1: DataSource, emails: readonly string[], reason: string): Promise<number> {
  if (emails.length === 0) return Promise.resolve(0);
  return db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    await manager.query(`SELECT set_config('subscription_sync.resync', 'on', true)`);
    const rows = await manager.query<{ email: string }[]>(
      'SELECT email FROM subscriptions WHERE email = ANY ($1) ORDER BY email FOR UPDATE',
      [emails],
    );
    const locked = rows.map(({ email }) => email);
    await manager.query('UPDATE subscriptions SET version = 0 WHERE email = ANY ($1)', [locked]);
    return locked.length;
  });
}

/**
 * A row that DB1 does not have can't be locked. So the deletion's version is drawn first; then those who write at that moment are
 * waited for, because one of them may have drawn a lower version for that email and not shown it yet; whoever comes later draws a
 * higher one, and wins. The image is DB2's row.
 */
async function deleteExtra(db1: DataSource, db2: DataSource, emails: readonly string[], reason: string): Promise<number> {
  if (emails.length === 0) return 0;
  const images = await db2.query<{ image: string }[]>(
    'SELECT row_to_json(s)::text AS image FROM subscriptions s WHERE email = ANY ($1) ORDER BY email',
    [emails],
  );
  const versions = await db1.query<{ version: number }[]>(`SELECT nextval('subscription_version') AS version FROM generate_series(1, $1)`, [
    images.length,
  ]);
  if (!(await writersAreDone(db1))) return 0;
  return db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    return appendDeletions(
      manager,
      images.map(({ image }, i) => ({ version: versions[i]!.version, image })),
    );
  });
}

async function appendDeletions(manager: EntityManager, rows: readonly { version: number; image: string }[]): Promise<number> {
  const appended = await manager.query<unknown[]>(
    `WITH extra AS MATERIALIZED (
       SELECT jsonb_populate_record(NULL::subscriptions, image::jsonb || jsonb_build_object(
         'version', version, 'updated_at', clock_timestamp(), 'status', coalesce(image::jsonb->>'status', ''))) AS image
       FROM json_to_recordset($1) AS e(version bigint, image text)
     )
     SELECT subscription_append_change('deleted', image, NULL) FROM extra
     WHERE NOT EXISTS (SELECT FROM subscriptions s WHERE s.email = (extra.image).email)`,
    [JSON.stringify(rows)],
  );
  return appended.length;
}

/** Whether all transactions that have written to `subscriptions` by now are over, within a bound. */
async function writersAreDone(db1: DataSource): Promise<boolean> {
  const deadline = performance.now() + WRITERS_MS;
  let writers: { id: string }[] | undefined;
  for (;;) {
    const now = await db1.query<{ id: string }[]>(
      `SELECT virtualtransaction AS id FROM pg_locks
       WHERE locktype = 'relation' AND relation = 'subscriptions'::regclass AND mode = 'RowExclusiveLock'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    const running = new Set(now.map(({ id }) => id));
    writers = (writers ?? now).filter(({ id }) => running.has(id));
    if (writers.length === 0) return true;
    if (performance.now() > deadline) return false;
    await delay(POLL_INTERVAL_MS);
  }
}

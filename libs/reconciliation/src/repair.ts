import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { ReconciliationTimings } from '#config';
import { resetVersions } from '#replica';
import type { Difference } from './recheck-rows.js';

const CHUNK_ROWS = 1_000;

/** Dependencies of a repair. */
export interface RepairDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly timings: ReconciliationTimings;
  readonly signal: AbortSignal;
}

const CONTEXT = `SELECT set_config('subscription_sync.actor', 'reconciliation', true), set_config('subscription_sync.reason', $1, true)`;

/**
 * Appends a change for each difference: `resynced` with the row as it is under its lock, or `deleted` where DB1 has no such row. These
 * changes are captured and applied like any other, so a newer change always wins. Their versions are higher than any that DB1 has drawn. A
 * version in DB2 that DB1 never drew may be higher still: it is replaced by that of the email's newest change first (ADR 26).
 * Rows that have changed meanwhile, or whose deletion waits for a running transaction, are skipped: recheck all of them.
 */
export async function repair(parts: RepairDependencies, differences: readonly Difference[], reason: string): Promise<void> {
  const { db1, db2, signal } = parts;
  for (let from = 0; from < differences.length; from += CHUNK_ROWS) {
    signal.throwIfAborted();
    const chunk = differences.slice(from, from + CHUNK_ROWS);
    const foreign = chunk.filter((row) => row.foreign);
    await resetVersions(
      db2,
      foreign.map(({ email, versionInDb1, versionInDb2 }) => ({ email, from: versionInDb2, to: versionInDb1 })),
    );
    const emails = (inDb1: boolean): string[] => chunk.filter((row) => row.inDb1 === inDb1).map(({ email }) => email);
    await appendCurrentRows(db1, emails(true), reason);
    await deleteExtra(parts, emails(false), reason);
  }
}

/** Appends each row as it is under its lock. Two statements: the second one sees what was committed before the first one got the locks. */
async function appendCurrentRows(db1: DataSource, emails: readonly string[], reason: string): Promise<void> {
  if (emails.length === 0) return;
  await db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    await manager.query('SELECT FROM subscriptions WHERE email = ANY ($1) ORDER BY email FOR UPDATE', [emails]);
    await manager.query(`SELECT count(subscription_sync.append_change('resynced', s)) FROM subscriptions s WHERE s.email = ANY ($1)`, [
      emails,
    ]);
  });
}

/**
 * Appends deletions of rows that DB1 does not have. Such a row cannot be locked, so the deletion's version is drawn first. Then the
 * transactions that are writing at that moment have to end, because one of them may have drawn a lower version for that email and not
 * committed it yet. Later transactions draw higher versions, and win. The image is DB2's row.
 */
async function deleteExtra(parts: RepairDependencies, emails: readonly string[], reason: string): Promise<void> {
  if (emails.length === 0) return;
  const { db1, db2 } = parts;
  const images = await db2.query<{ image: string }[]>(
    'SELECT row_to_json(s)::text AS image FROM subscriptions s WHERE email = ANY ($1) ORDER BY email',
    [emails],
  );
  const versions = await db1.query<{ version: number }[]>(
    `SELECT nextval('subscription_sync.version') AS version FROM generate_series(1, $1)`,
    [images.length],
  );
  if (!(await haveWritersEnded(parts))) return;
  await db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    await appendDeletions(
      manager,
      images.map(({ image }, i) => ({ version: versions[i]!.version, image })),
    );
  });
}

async function appendDeletions(manager: EntityManager, rows: readonly { version: number; image: string }[]): Promise<void> {
  await manager.query(
    `WITH extra AS MATERIALIZED (
       SELECT version, jsonb_populate_record(NULL::subscriptions, image::jsonb || jsonb_build_object(
         'status', coalesce(image::jsonb->>'status', ''))) AS image
       FROM json_to_recordset($1) AS e(version bigint, image text)
     )
     SELECT subscription_sync.append_change('deleted', image, drawn => version) FROM extra
     WHERE NOT EXISTS (SELECT FROM subscriptions s WHERE s.email = (extra.image).email)`,
    [JSON.stringify(rows)],
  );
}

/** Waits for the transactions that have written to `subscriptions` by now. @returns whether they have ended within `writersTimeoutMs`. */
export async function haveWritersEnded({ db1, timings }: Pick<RepairDependencies, 'db1' | 'timings'>): Promise<boolean> {
  const deadline = performance.now() + timings.writersTimeoutMs;
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
    await delay(timings.writersPollMs);
  }
}

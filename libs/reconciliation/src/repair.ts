import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { ReconciliationTimings } from '#config';
import { queryOf, type SubscriptionTable, hasKey } from '#postgres';
import { readReplicaStates, resetVersions } from '#replica';
import { lockRows } from '#sync';
import type { Difference } from './recheck-rows.js';
import { replicaImage, type Tables } from './row-fingerprint.js';

const CHUNK_ROWS = 1_000;

/** Dependencies of a repair. */
export interface RepairDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly tables: Tables;
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
  const { db2, signal } = parts;
  for (let from = 0; from < differences.length; from += CHUNK_ROWS) {
    signal.throwIfAborted();
    const chunk = differences.slice(from, from + CHUNK_ROWS);
    const foreign = chunk.filter((row) => row.foreign);
    await resetVersions(
      db2,
      foreign.map(({ email, versionInDb1, versionInDb2 }) => ({ email, from: versionInDb2, to: versionInDb1 })),
    );
    const rows = (inDb1: boolean): Difference[] => chunk.filter((row) => row.inDb1 === inDb1);
    await appendCurrentRows(parts, rows(true), reason);
    await deleteExtra(parts, rows(false), reason);
  }
}

/** Appends each row as it is under its lock. Two statements: the second one sees what was committed before the first one got the locks. */
async function appendCurrentRows({ db1 }: RepairDependencies, rows: readonly Difference[], reason: string): Promise<void> {
  if (rows.length === 0) return;
  const written = rows.map((row) => row.written);
  await db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    const locked = await lockRows(queryOf(manager), written);
    await manager.query(`SELECT count(subscription_sync.append_row('resynced', w)) FROM unnest($1::text[]) w`, [locked]);
  });
}

/**
 * Appends deletions of rows that DB1 does not have. Such a row cannot be locked, so the deletion's version is drawn first. Then the
 * transactions that are writing at that moment have to end, because one of them may have drawn a lower version for that email and not
 * committed it yet. Later transactions draw higher versions, and win. The image is DB2's row.
 */
async function deleteExtra(parts: RepairDependencies, rows: readonly Difference[], reason: string): Promise<void> {
  if (rows.length === 0) return;
  const { db1, db2, tables } = parts;
  const states = await readReplicaStates(db2, tables.db2, replicaImage(tables), rows);
  const images = states.flatMap(({ email, value }) => (value === null ? [] : [{ email, image: value }]));
  const versions = await db1.query<{ version: number }[]>(
    `SELECT nextval('subscription_sync.version') AS version FROM generate_series(1, $1)`,
    [images.length],
  );
  if (!(await haveWritersEnded(parts))) return;
  await db1.transaction(async (manager) => {
    await manager.query(CONTEXT, [reason]);
    await appendDeletions(
      manager,
      tables.db1,
      images.map(({ email, image }, i) => ({ version: versions[i]!.version, email, image })),
    );
  });
}

async function appendDeletions(
  manager: EntityManager,
  table: SubscriptionTable,
  rows: readonly { version: number; email: string; image: string }[],
): Promise<void> {
  await manager.query(
    `SELECT subscription_sync.append_change('deleted', e.email, e.image, drawn => e.version)
     FROM json_to_recordset($1) AS e(version bigint, email text, image text)
     WHERE NOT EXISTS (SELECT FROM ${table.sql} s WHERE ${hasKey(table, 's', 'subscription_sync.existing_key(e.email)')})`,
    [JSON.stringify(rows)],
  );
}

/** Waits for the transactions that have written to the table, or directly to one of its partitions, by now. @returns whether they have ended within `writersTimeoutMs`. */
export async function haveWritersEnded({ db1, tables, timings }: Pick<RepairDependencies, 'db1' | 'tables' | 'timings'>): Promise<boolean> {
  const deadline = performance.now() + timings.writersTimeoutMs;
  let writers: { id: string }[] | undefined;
  for (;;) {
    const now = await db1.query<{ id: string }[]>(
      `SELECT virtualtransaction AS id FROM pg_locks
       WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
         AND (relation = $1::regclass OR relation IN (SELECT relid FROM pg_partition_tree($1::regclass)))
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [tables.db1.sql],
    );
    const running = new Set(now.map(({ id }) => id));
    writers = (writers ?? now).filter(({ id }) => running.has(id));
    if (writers.length === 0) return true;
    if (performance.now() > deadline) return false;
    await delay(timings.writersPollMs);
  }
}

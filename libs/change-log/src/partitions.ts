import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { type ChangeLogTimings, retry, sleep } from '#config';
import { CANARY_EMAIL, LOGGED_COLUMNS } from '#events';
import { withMaintenanceTimeout } from '#postgres';

/**
 * Creates the change log's partitions ahead of time and drops those beyond the retention, at intervals. The holder of the lease runs it.
 * @throws the signal's reason once it has aborted.
 */
export async function maintainPartitions(
  db1: DataSource,
  retentionDays: number,
  timings: ChangeLogTimings,
  signal: AbortSignal,
): Promise<void> {
  const logger = new Logger('change-log');
  const onFailure = ({ message }: Error, pauseMs: number): void =>
    logger.warn({
      code: 'partition-maintenance-failed',
      message: `Partitions of the change log were not maintained: ${message}. Trying again in ${pauseMs / 1_000} s.`,
    });
  for (;;) {
    const dropped = await retry(() => maintainOnce(db1, retentionDays), { backoff: timings.maintenanceRetry, signal, onFailure });
    if (dropped.length > 0) {
      logger.log({ code: 'partitions-dropped', message: `Dropped ${dropped.join(', ')}: older than ${retentionDays} days and published` });
    }
    await sleep(timings.maintenanceIntervalMs, signal);
  }
}

/** Returns the partitions that were dropped. */
async function maintainOnce(db1: DataSource, retentionDays: number): Promise<string[]> {
  const now = new Date();
  await createPartitionsAhead(db1, now);
  return pruneLog(db1, now, retentionDays);
}

/** Number of months after the current one that have a partition. */
const MONTHS_AHEAD = 2;

/** A month of the log, in UTC. */
interface Month {
  /** Name of its partition, with the schema. */
  readonly partition: string;
  /** ISO date of the first day. */
  readonly from: string;
  /** ISO date of the first day after. */
  readonly to: string;
}

function monthOf(time: Date, offset = 0): Month {
  const from = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + offset, 1));
  const to = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + 1, 1));
  const day = (date: Date): string => date.toISOString().slice(0, 10);
  return { partition: `subscription_sync.changes_${day(from).slice(0, 7).replace('-', '_')}`, from: day(from), to: day(to) };
}

/** Returns this month and the next ones. */
function monthsAhead(now: Date): Month[] {
  return Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) => monthOf(now, ahead));
}

/**
 * Creates the partitions of {@link monthsAhead}. Rows in the default partition, whose own partition was not created in time, move in the same
 * transaction and keep their versions and txids.
 * @throws when writers do not release the log within 250 ms. Nothing is changed then.
 */
export async function createPartitionsAhead(db1: DataSource, now: Date): Promise<void> {
  for (const { partition, from } of monthsAhead(now)) {
    const [found] = await db1.query<[{ yes: boolean }]>('SELECT to_regclass($1) IS NOT NULL AS yes', [partition]);
    if (found.yes) continue;
    await withMaintenanceTimeout(db1, (manager) => manager.query('SELECT subscription_sync.create_partition($1)', [from]));
  }
}

/**
 * Drops the months that ended more than `retentionDays` ago and whose changes are all published. The newest change of each email is kept.
 * @returns the partitions dropped.
 */
export async function pruneLog(db1: DataSource, now: Date, retentionDays: number): Promise<string[]> {
  const horizon = new Date(now.getTime() - retentionDays * 86_400_000);
  const keepFrom = monthOf(horizon).partition;
  const partitions = await db1.query<{ name: string; from: string }[]>(`
    SELECT 'subscription_sync.' || c.relname AS name, replace(substr(c.relname, 9), '_', '-') || '-01' AS from
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'subscription_sync.changes'::regclass AND c.relnamespace = 'subscription_sync'::regnamespace
      AND c.relname ~ '^changes_\\d{4}_\\d{2}$'
    ORDER BY 1`);
  const dropped: string[] = [];
  for (const { name, from } of partitions.filter((partition) => partition.name < keepFrom)) {
    if (await dropIfPublished(db1, monthOf(new Date(from)))) dropped.push(name);
  }
  return dropped;
}

/** Looks first without the log's lock, which the function takes before it looks again. */
async function dropIfPublished(db1: DataSource, month: Month): Promise<boolean> {
  const [published] = await db1.query<[{ all: boolean }]>(`
    SELECT coalesce((
      SELECT NOT EXISTS (
        SELECT FROM subscription_sync.changes
        WHERE ${isIn(month)} AND txid >= pg_snapshot_xmin(c.published_snapshot) AND NOT pg_visible_in_snapshot(txid, c.published_snapshot))
      FROM subscription_sync.checkpoint c), false) AS all`);
  if (!published.all) return false;
  await keepNewest(db1, month);
  const [dropped] = await withMaintenanceTimeout(db1, (manager) =>
    manager.query<[{ yes: boolean }]>('SELECT subscription_sync.drop_partition($1) AS yes', [month.from]),
  );
  return dropped.yes;
}

/** Returns the condition for changes of a month, by which PostgreSQL reads its partition alone. */
function isIn({ from, to }: Month): string {
  return `occurred_at >= '${from}T00:00:00Z' AND occurred_at < '${to}T00:00:00Z'`;
}

/** Number of emails of a partition that one statement looks at. */
const KEPT_CHUNK = 5_000;

/**
 * Keeps the newest change of each email that has no newer one in the log, before its partition is dropped. Runs in short statements without
 * the log's lock: nothing is inserted into a month that is over, and a change that is made meanwhile only makes a kept one superfluous.
 */
async function keepNewest(db1: DataSource, month: Month): Promise<void> {
  const keep = `
    WITH newest AS MATERIALIZED (
      SELECT DISTINCT ON (email) * FROM subscription_sync.changes WHERE ${isIn(month)} AND email > $1 ORDER BY email, version DESC LIMIT ${KEPT_CHUNK}
    ), kept AS (
      INSERT INTO subscription_sync.pruned_changes
      SELECT n.* FROM newest n
      WHERE n.email <> $2 AND NOT EXISTS (SELECT FROM subscription_sync.changes c WHERE c.email = n.email AND c.version > n.version)
      ON CONFLICT (email) DO UPDATE SET ${CHANGE_COLUMNS.map((name) => `${name} = excluded.${name}`).join(', ')}
      WHERE subscription_sync.pruned_changes.version < excluded.version
    )
    SELECT max(email) AS last FROM newest`;
  for (let after: string | null = ''; after !== null;) {
    const rows: { last: string | null }[] = await withMaintenanceTimeout(db1, (manager) => manager.query(keep, [after, CANARY_EMAIL]));
    after = rows[0]!.last;
  }
}

/** The columns of the log, apart from the email. */
const CHANGE_COLUMNS = [
  ...LOGGED_COLUMNS.filter((name) => name !== 'email'),
  'database_user',
  'application_name',
  'txid',
  'transition_violation',
];

import type { DataSource } from 'typeorm';
import { CANARY_EMAIL, LOGGED_COLUMNS, MAX_VERSION } from '#events';

/** SQL about the change log for other libraries, none of which names its tables. */

/** The columns of a row `r` of which an event is made, as pg has to return them: times as text. */
export const LOGGED_TEXTS = LOGGED_COLUMNS.map((name) => (name === 'occurred_at' ? `r.${name}::text AS ${name}` : `r.${name}`)).join(', ');

/** SQL expression of about the size (bytes) of a change's event. */
export const BYTES = '(octet_length(image) + coalesce(octet_length(previous), 0))';

/** SELECT of the checkpoint: `snapshot`, in which all published changes are visible, and `updated_at`. No row before the first one. */
export const SELECT_CHECKPOINT = 'SELECT published_snapshot AS snapshot, updated_at FROM subscription_sync.checkpoint';

/** SELECT of the current snapshot and of the number of times that the log was pruned. */
export const SELECT_LOG_END =
  'SELECT pg_current_snapshot()::text AS snapshot, coalesce((SELECT prunings FROM subscription_sync.log_horizon), 0) AS prunings';

/**
 * SELECT of a transaction, `txid`, that is not above any transaction with a change made at $1 or later; NULL when the whole log may be that
 * new. A transaction that goes on writing for more than 10 minutes may be missed. It reads the newest part of an index: looking for the
 * first change of a time would read the index from its beginning.
 */
export const SELECT_TXID_AT = `
SELECT least(last.txid, pg_snapshot_xmin(pg_current_snapshot()))::text AS txid
FROM (SELECT txid FROM subscription_sync.changes WHERE occurred_at < $1::timestamptz - interval '10 minutes' ORDER BY txid DESC LIMIT 1) last`;

/** SELECT of `columns` of the newest change `c` of an email, which is a SQL expression, also when it was pruned. No row for an email that never had one. */
export function selectNewestChange(email: string, columns: string): string {
  return `SELECT ${columns} FROM (
    (SELECT * FROM subscription_sync.changes WHERE email = ${email} ORDER BY version DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM subscription_sync.pruned_changes WHERE email = ${email})
  ) c ORDER BY c.version DESC LIMIT 1`;
}

/** SELECT of `columns` of the first change `c` of an email above a version; both are SQL expressions. */
export function selectNextChange(email: string, version: string, columns: string): string {
  return `SELECT ${columns} FROM subscription_sync.changes c WHERE c.email = ${email} AND c.version > ${version} ORDER BY c.version LIMIT 1`;
}

/** SELECT of the changes of an email ($1) below a version ($2), newest first, at most $3. */
export const SELECT_HISTORY =
  'SELECT * FROM subscription_sync.changes WHERE email = subscription_sync.normalize_email($1) AND version < $2 ORDER BY version DESC LIMIT $3';

/** SELECT of `columns` of one change `c`; email and version are SQL expressions. No row when it was pruned. */
export function selectChange(email: string, version: string, columns: string): string {
  return `SELECT ${columns} FROM subscription_sync.changes c WHERE c.email = ${email} AND c.version = ${version} LIMIT 1`;
}

/** SQL condition: the log has a change of the email that was made within the last seconds; both are SQL expressions. */
export function wasChangedWithin(email: string, seconds: string): string {
  return `EXISTS (SELECT FROM subscription_sync.changes WHERE email = ${email} AND occurred_at > clock_timestamp() - make_interval(secs => ${seconds}))`;
}

/**
 * SELECT of the log after a position of the feed, by three scans of the index (txid, version): the rest of the transaction that was read
 * partly ($2, $3), the transactions that were running ($1), and those from xmax on ($4); at most $5 changes and, except for the first
 * one, `maxBytes` bytes of images. It is one statement, so that its rows are exactly those that pg_current_snapshot() shows. The upper
 * bound by xmax is for a log that was restored from another server together with its txids, whose transactions are in the future here;
 * the capture does the same. Always returns at least one row, which has the snapshot and what was pruned.
 */
export function selectFeedPage(condition: string, maxBytes: number): string {
  return `
WITH rows AS MATERIALIZED (
  (SELECT 0 AS part, txid, ${LOGGED_COLUMNS.join(', ')} FROM subscription_sync.changes
   WHERE txid = $2::xid8 AND version > $3::bigint AND ${condition}
   ORDER BY version LIMIT $5)
  UNION ALL
  (SELECT 1, txid, ${LOGGED_COLUMNS.join(', ')} FROM subscription_sync.changes
   WHERE txid = ANY ($1::xid8[]) AND ${condition}
   ORDER BY txid, version LIMIT $5)
  UNION ALL
  (SELECT 1, txid, ${LOGGED_COLUMNS.join(', ')} FROM subscription_sync.changes
   WHERE txid >= $4::xid8 AND txid < pg_snapshot_xmax(pg_current_snapshot()) AND ${condition}
   ORDER BY txid, version LIMIT $5)
  ORDER BY part, txid, version LIMIT $5
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(${BYTES}) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY part, txid, version)
)
SELECT pg_current_snapshot()::text AS snapshot, h.txid::text AS pruned_txid, h.version AS pruned_version, coalesce(h.prunings, 0) AS prunings,
       (SELECT count(*)::int FROM rows) AS found, r.txid::text AS txid, ${LOGGED_TEXTS}
FROM (SELECT) one LEFT JOIN subscription_sync.log_horizon h ON true LEFT JOIN (SELECT * FROM sized WHERE n = 1 OR bytes <= ${maxBytes}) r ON true
ORDER BY r.n`;
}

/** The change that DB2 has applied last in a partition. */
interface AppliedChange {
  readonly partition: number;
  readonly version: number;
  readonly version_time: string | null;
}

/** The last version that DB1 has drawn. */
const LAST_DRAWN = 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM subscription_sync.version';

/** Returns the last version that DB1 has drawn. */
export async function lastDrawnVersion(db1: DataSource): Promise<number> {
  const [drawn] = await db1.query<[{ version: number }]>(`SELECT (${LAST_DRAWN}) AS version`);
  return drawn.version;
}

/** Ensures that DB1 draws only versions above `version + margin` from now on if it draws versions below `version`. The sequence ends at MAX_VERSION. */
export async function advanceSequence(db1: DataSource, version: number, margin: number): Promise<void> {
  await db1.query(`SELECT setval('subscription_sync.version', $1) FROM subscription_sync.version WHERE last_value < $2`, [
    Math.min(version + margin, MAX_VERSION),
    version,
  ]);
}

/** Version of the oldest change that is not pruned. */
const OLDEST = 'SELECT version FROM subscription_sync.changes ORDER BY version LIMIT 1';

/**
 * SQL condition: DB1 has never drawn `version` for the email whose newest change is `newest` (null for none); both are SQL expressions. The log
 * has a version above the newest one only as the label of a backfill, a change of the canary; below its oldest change, it cannot tell.
 * Has to be evaluated after the version was read from DB2: what DB1 has committed before is visible then.
 */
export function neverDrawn(version: string, newest: string): string {
  return `(${version} > coalesce(${newest}, 0) AND (${version} > (${LAST_DRAWN}) OR ${version} > (${OLDEST}) AND NOT EXISTS (
    SELECT FROM subscription_sync.changes l WHERE l.version = ${version} AND l.email = '${CANARY_EMAIL}'))) IS TRUE`;
}

/** Returns those of the versions that DB1 has never drawn for their emails. */
export async function findNeverDrawn<T extends { readonly email: string; readonly version: number }>(
  db1: DataSource,
  versions: readonly T[],
): Promise<T[]> {
  if (versions.length === 0) return [];
  const rows = await db1.query<{ never: boolean }[]>(
    `SELECT ${neverDrawn('e.version', 'last.version')} AS never
     FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS e(email, version, n)
     LEFT JOIN LATERAL (${selectNewestChange('e.email', 'c.version')}) last ON true ORDER BY n`,
    [versions.map(({ email }) => email), versions.map(({ version }) => version)],
  );
  return versions.filter((_, i) => rows[i]!.never);
}

/** Returns the change of the highest version in the log; undefined when the log is empty. */
export async function highestLoggedChange(db1: DataSource): Promise<{ version: number; version_time: string } | undefined> {
  const [change] = await db1.query<{ version: number; version_time: string }[]>(
    'SELECT version, occurred_at::text AS version_time FROM subscription_sync.changes ORDER BY version DESC LIMIT 1',
  );
  return change;
}

/** A change is unknown only if the log goes back that far: to its month, because whole months are dropped, or beyond its version. */
const KNOWN = `
SELECT p.partition, CASE
    WHEN EXISTS (SELECT FROM subscription_sync.changes c WHERE c.version = p.version AND c.occurred_at = p.version_time) THEN true
    WHEN p.version_time >= (SELECT date_trunc('month', occurred_at) FROM subscription_sync.changes ORDER BY version LIMIT 1) THEN false
    WHEN p.version > (${OLDEST}) THEN false
  END AS known
FROM json_to_recordset($1) AS p(partition integer, version bigint, version_time timestamptz)`;

/** Returns by partition whether the log has these changes; undefined where it does not go back that far. */
export async function findKnownChanges(
  db1: DataSource,
  changes: readonly AppliedChange[],
): Promise<ReadonlyMap<number, boolean | undefined>> {
  const rows = await db1.query<{ partition: number; known: boolean | null }[]>(KNOWN, [JSON.stringify(changes)]);
  return new Map(rows.map(({ partition, known }) => [partition, known ?? undefined]));
}

/**
 * Counts the changes above a version, up to `limit`. The checkpoint cannot be used instead: it is stored every few seconds, in which many
 * changes may pass.
 */
export async function countChangesAbove(db1: DataSource, version: number, limit: number): Promise<number> {
  const [row] = await db1.query<[{ changes: number }]>(
    'SELECT count(*)::int AS changes FROM (SELECT FROM subscription_sync.changes WHERE version > $1 LIMIT $2) above',
    [version, limit],
  );
  return row.changes;
}

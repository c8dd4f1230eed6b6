/**
 * What DB1 knows of an email ($1) when DB2 has version $2 of it: one row. A version that the log does not have any more is the row's own.
 *
 * - `pending_since`: when the first change was made that is newer than what DB2 has; `lag_ms`: how long ago.
 * - `captured`: whether the last change is known to be on Kafka: the checkpoint covers its transaction. It follows a moment later.
 * - `unpublishable`: why Kafka never takes that change.
 * - `confirmed`: a comparison found this version different, and did not repair it.
 */
export const LOOK_IN_DB1 = `
WITH k AS (SELECT subscription_email($1) AS email),
last AS (
  SELECT c.version, c.operation, c.occurred_at, c.txid FROM k JOIN subscription_changes c ON c.email = k.email ORDER BY c.version DESC LIMIT 1
), pending AS (
  SELECT c.occurred_at FROM k JOIN subscription_changes c ON c.email = k.email WHERE c.version > $2 ORDER BY c.version LIMIT 1
), checkpoint AS (
  SELECT published_snapshot AS snapshot, updated_at FROM sync_checkpoint
)
SELECT k.email, greatest(s.version, last.version) AS version, s.email IS NOT NULL AS live, last.operation,
  to_json(coalesce(last.occurred_at, s.updated_at)) #>> '{}' AS changed_at,
  (extract(epoch FROM clock_timestamp() - coalesce((SELECT occurred_at FROM pending), s.updated_at)) * 1000)::float8 AS lag_ms,
  (SELECT pg_visible_in_snapshot(last.txid, snapshot) FROM checkpoint) AS captured,
  (SELECT to_json(updated_at) #>> '{}' FROM checkpoint WHERE pg_visible_in_snapshot(last.txid, snapshot)) AS captured_by,
  (SELECT u.error FROM unpublishable_changes u WHERE u.version = last.version) AS unpublishable,
  EXISTS (
    SELECT FROM reconciliation_differences d
    WHERE d.run = (SELECT max(id) FROM reconciliation_runs WHERE finished_at IS NOT NULL) AND d.email = k.email AND d.state = 'confirmed'
      AND d.version_in_db1 IS NOT DISTINCT FROM nullif(s.version, 0) AND coalesce(d.version_in_db2, 0) = $2
  ) AS confirmed,
  CASE WHEN s.email IS NOT NULL THEN jsonb_build_array(s.status, s.plan, s.access_until, s.cancel_at_period_end, s.metadata)::text END AS content
FROM k LEFT JOIN subscriptions s ON s.email = k.email LEFT JOIN last ON true`;

/** What DB2 has of an email ($1). Times as DB1 shows them, whatever the column's type. */
export const LOOK_IN_DB2 = `
SELECT version, tombstoned_at IS NULL AS live,
  CASE WHEN tombstoned_at IS NULL THEN jsonb_build_array(status, plan, access_until::timestamptz, cancel_at_period_end, metadata)::text END AS content
FROM replicated_subscriptions WHERE email = $1`;

/** The newest records of an email ($1) that are put aside and wait for somebody. */
export const DEAD_LETTERS = `
SELECT id, topic, partition, "offset", error_class, value FROM dead_letters
WHERE state = 'open' AND key = convert_to($1, 'UTF8') ORDER BY id DESC LIMIT 5`;

/** How far a partition is applied. */
export const POSITION = `
SELECT "offset", version, to_json(applied_at) #>> '{}' AS applied_at FROM replica_positions WHERE topic = $1 AND partition = $2`;

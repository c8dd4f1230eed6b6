import { ERASED_EMAIL } from '#events';
import { keyOperator, type SubscriptionTable } from '#postgres';
import { literal } from './db1/column-list.js';

/**
 * Functions by which the sync role does what PostgreSQL allows to owners alone, without being one (ADR 30). Each does one thing to objects of
 * the service, whatever its arguments are. As in the triggers, only pg_catalog is searched, so that no operator or function that another
 * role has made is called with the owner's rights.
 */
const AS_OWNER = 'SECURITY DEFINER SET search_path = pg_catalog, pg_temp';

/** The server's lock_timeout for maintenance. It gives way to writers, which queue behind its lock, and is retried later. */
const LOCK_TIMEOUT = '250ms';

/**
 * `subscription_sync.lock_rows` locks the rows of these emails for libs/sync (existing-rows). A lock needs the privilege UPDATE, with which
 * the sync role could write the users' table.
 */
export function createLockRows(table: SubscriptionTable): string {
  const { sql, key, keyColumn } = table;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.lock_rows(keys text[]) RETURNS SETOF text
LANGUAGE plpgsql ${AS_OWNER}
AS $$
BEGIN
  RETURN QUERY SELECT s.${key}::text FROM ${sql} s WHERE s.${key} ${keyOperator(table, '=')} ANY ($1::${keyColumn.typeOfAnyLength}[]) ORDER BY s.${key} FOR UPDATE;
END $$`;
}

/**
 * `subscription_sync.create_partition` attaches the partition of a month that has none, and moves the month's rows from the default partition.
 * `subscription_sync.drop_partition` drops the partition of a month that is over and completely published, and returns whether it did;
 * libs/change-log (partitions) has copied what is kept of it before.
 *
 * Both lock the log itself first, so that writers wait before they choose a partition. A writer that has chosen the default partition and
 * waits there would fail (check violation) once the new partition takes its rows, and another program's write with it. DROP takes this lock
 * anyway, and taking a partition's lock first could deadlock with a writer.
 */
export const CREATE_PARTITION_FUNCTIONS = `
CREATE OR REPLACE FUNCTION subscription_sync.create_partition(month date) RETURNS void
LANGUAGE plpgsql ${AS_OWNER} SET lock_timeout = '${LOCK_TIMEOUT}'
AS $$
DECLARE
  first_day timestamp := date_trunc('month', month::timestamp);
  partition text := 'changes_' || to_char(first_day, 'YYYY_MM');
  lower_bound text := to_char(first_day, 'YYYY-MM-DD"T00:00:00Z"');
  upper_bound text := to_char(first_day + interval '1 month', 'YYYY-MM-DD"T00:00:00Z"');
BEGIN
  LOCK TABLE subscription_sync.changes IN ACCESS EXCLUSIVE MODE;
  -- Another process may have created it meanwhile.
  IF to_regclass('subscription_sync.' || partition) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE subscription_sync.%I (LIKE subscription_sync.changes INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
  EXECUTE format('WITH moved AS (DELETE FROM subscription_sync.changes_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *)
    INSERT INTO subscription_sync.%I SELECT * FROM moved', lower_bound, upper_bound, partition);
  EXECUTE format('ALTER TABLE subscription_sync.changes ATTACH PARTITION subscription_sync.%I FOR VALUES FROM (%L) TO (%L)',
    partition, lower_bound, upper_bound);
END $$;

CREATE OR REPLACE FUNCTION subscription_sync.drop_partition(month date) RETURNS boolean
LANGUAGE plpgsql ${AS_OWNER} SET lock_timeout = '${LOCK_TIMEOUT}'
AS $$
DECLARE
  first_day timestamp := date_trunc('month', month::timestamp);
  partition text := 'changes_' || to_char(first_day, 'YYYY_MM');
  lower_bound timestamptz := first_day AT TIME ZONE 'UTC';
  upper_bound timestamptz := (first_day + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
  LOCK TABLE subscription_sync.changes IN ACCESS EXCLUSIVE MODE;
  IF upper_bound > now()
    OR NOT EXISTS (SELECT FROM subscription_sync.checkpoint)
    OR EXISTS (
      SELECT FROM subscription_sync.changes l, subscription_sync.checkpoint c
      WHERE l.occurred_at >= lower_bound AND l.occurred_at < upper_bound
        AND l.txid >= pg_snapshot_xmin(c.published_snapshot) AND NOT pg_visible_in_snapshot(l.txid, c.published_snapshot))
  THEN
    RETURN false;
  END IF;
  INSERT INTO subscription_sync.log_horizon AS h (txid, version)
  SELECT l.txid, l.version FROM subscription_sync.changes l
  WHERE l.occurred_at >= lower_bound AND l.occurred_at < upper_bound ORDER BY l.txid DESC, l.version DESC LIMIT 1
  ON CONFLICT (id) DO UPDATE SET prunings = h.prunings + 1,
    version = CASE WHEN (excluded.txid, excluded.version) > (h.txid, h.version) THEN excluded.version ELSE h.version END,
    txid = CASE WHEN excluded.txid > h.txid THEN excluded.txid ELSE h.txid END;
  EXECUTE format('DROP TABLE subscription_sync.%I', partition);
  RETURN true;
END $$`;

/** `subscription_sync.create_publication` creates the publication of libs/sync (replication-slot). */
export const CREATE_PUBLICATION_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.create_publication() RETURNS void
LANGUAGE plpgsql ${AS_OWNER}
AS $$
BEGIN
  CREATE PUBLICATION subscription_sync FOR TABLE subscription_sync.changes WITH (publish = 'insert', publish_via_partition_root = true);
END $$`;

/**
 * `subscription_sync.prune_audit` deletes some of the entries of the audit log that are older than so many days, and returns how many, for
 * libs/audit (retention). No role may delete others: a process that is taken over cannot remove its traces of the last 30 days.
 */
export const CREATE_PRUNE_AUDIT_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.prune_audit(days integer) RETURNS bigint
LANGUAGE sql ${AS_OWNER}
AS $$
  WITH pruned AS (
    DELETE FROM subscription_sync.audit WHERE id = ANY (ARRAY(
      SELECT id FROM subscription_sync.audit WHERE recorded_at < clock_timestamp() - make_interval(days => greatest(days, 30))
      ORDER BY recorded_at LIMIT 5000 FOR UPDATE SKIP LOCKED)) RETURNING 1)
  SELECT count(*) FROM pruned
$$`;

/** `subscription_sync.analyze_row_keys` is for libs/reconciliation, which has just filled that table. */
export const CREATE_ANALYZE_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.analyze_row_keys() RETURNS void
LANGUAGE plpgsql ${AS_OWNER}
AS $$
BEGIN
  ANALYZE subscription_sync.row_keys;
END $$`;

/**
 * `subscription_sync.erase_changes` erases an email from its changes up to a version (libs/change-log, erase): they stay as deletions of an
 * email that never exists. It keeps the email and its last version in `pruned_changes`, or takes them from there. Nobody else can change the log, and it
 * refuses an email whose erasure was not requested, so that the sync role cannot rewrite history.
 */
export function createEraseChanges({ keyColumn }: SubscriptionTable): string {
  const imageOf = (email: string): string => `json_build_object(${literal(keyColumn.name)}, ${email})::text`;
  const blank = `previous = NULL, actor = 'erasure', reason = NULL, application_name = NULL, traceparent = NULL, transition_violation = false`;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.erase_changes(erased text, up_to bigint, keep_version boolean) RETURNS void
LANGUAGE plpgsql ${AS_OWNER}
AS $$
DECLARE
  last_change subscription_sync.changes;
BEGIN
  IF NOT EXISTS (SELECT FROM subscription_sync.erasures e WHERE e.email = erased AND e.version >= up_to) THEN
    RAISE insufficient_privilege USING MESSAGE = 'No erasure of this email up to this version was requested';
  END IF;
  IF keep_version THEN
    SELECT * INTO last_change FROM (
      SELECT * FROM subscription_sync.changes c WHERE c.email = erased AND c.version <= up_to
      UNION ALL
      SELECT * FROM subscription_sync.pruned_changes p WHERE p.email = erased AND p.version <= up_to
    ) l ORDER BY l.version DESC LIMIT 1;
    IF FOUND THEN
      last_change.operation := 'deleted';
      last_change.image := ${imageOf('erased')};
      INSERT INTO subscription_sync.pruned_changes AS p SELECT last_change.*
      ON CONFLICT (email) DO UPDATE SET version = excluded.version, operation = 'deleted', image = excluded.image,
        occurred_at = excluded.occurred_at, txid = excluded.txid
      WHERE p.version <= excluded.version;
      UPDATE subscription_sync.pruned_changes p SET ${blank} WHERE p.email = erased AND p.version = last_change.version;
    END IF;
  ELSE
    DELETE FROM subscription_sync.pruned_changes p WHERE p.email = erased AND p.version <= up_to;
  END IF;
  UPDATE subscription_sync.changes c SET email = '${ERASED_EMAIL}', operation = 'deleted', image = ${imageOf(`'${ERASED_EMAIL}'`)}, ${blank}
  WHERE c.email = erased AND c.version <= up_to;
END $$`;
}

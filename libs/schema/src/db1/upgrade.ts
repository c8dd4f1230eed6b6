import { escapeIdentifier, escapeLiteral } from 'pg';
import { type Query, type SubscriptionTable, travelsAsJson } from '#postgres';
import type { EarlierVersion } from '../earlier-version.js';

/**
 * Carries the log and the other tables of version 0.1 over to the service's schema, with their versions and transaction ids, and removes its
 * triggers, functions and column. The caller's transaction has created the new tables, and creates the new triggers before it ends.
 *
 * Writers wait only while the changes are copied that were made since the log was first copied, which takes milliseconds. They wait at
 * the lock of their own table, as they do for any ALTER TABLE.
 * @returns whether the log has a change of every row. Rows that version 0.1 had not recorded yet are then those of a table that existed before.
 */
export async function upgradeDb1(query: Query, earlier: EarlierVersion, described: SubscriptionTable): Promise<boolean> {
  const { schema, table, addedVersion } = earlier;
  await query(createPartitions(schema));
  const [before] = await query<{ snapshot: string; unrecorded: boolean }>(
    `SELECT pg_current_snapshot()::text AS snapshot, EXISTS (SELECT FROM ${table} WHERE version = 0) AS unrecorded`,
  );
  await query(copyChanges(earlier, described, 'true'));
  await query(copyPruned(earlier, described));
  await query(lockPatiently(table));
  await query(
    copyChanges(earlier, described, 'c.txid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(c.txid, $1::pg_snapshot)'),
    [before!.snapshot],
  );
  await query(copyTables(schema));
  await query(drop(schema));
  if (addedVersion) await query(`ALTER TABLE ${table} DROP COLUMN version`);
  return !before!.unrecorded;
}

/** Returns the SQL that creates the partitions of those months of the old log for which the new one has none. */
function createPartitions(schema: string): string {
  return `
DO $$
DECLARE
  month text;
  first_day date;
BEGIN
  FOR month IN SELECT right(c.relname, 7) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = '${schema}.subscription_changes'::regclass AND c.relname ~ '^subscription_changes_[0-9]{4}_[0-9]{2}$'
  LOOP
    first_day := to_date(month, 'YYYY_MM');
    CONTINUE WHEN to_regclass('subscription_sync.changes_' || month) IS NOT NULL;
    EXECUTE format('CREATE TABLE subscription_sync.%I PARTITION OF subscription_sync.changes FOR VALUES FROM (%L) TO (%L)',
      'changes_' || month,
      to_char(first_day, 'YYYY-MM-DD') || 'T00:00:00Z',
      to_char(first_day + interval '1 month', 'YYYY-MM-DD') || 'T00:00:00Z');
  END LOOP;
END $$`;
}

/** The log did not note the database user. */
const UNKNOWN_USER = `'unknown'`;

/**
 * PostgreSQL's JSON functions do not read the escape \\u0000, which a json column may have. Meanwhile a text stands for it that no row has:
 * U+FFFF is not a character.
 */
const NUL = String.raw`E'\\u0000'`;
const STAND_IN = String.raw`E'\uFFFFsubscription-sync\uFFFF'`;

/** SQL expression: text as JSON that all functions read. */
function asJson(text: string): string {
  return `replace(${text}, ${NUL}, ${STAND_IN})::json`;
}

/** SQL expression: the text of {@link asJson}. */
function asText(json: string): string {
  return `replace((${json})::text, ${STAND_IN}, ${NUL})`;
}

/**
 * SQL expression: the image of a row, of {@link asJson}, as this version makes it: without the member `version` if that was added, and with
 * the text of arrays and composite values, which were JSON. Other members keep their texts.
 */
function imageOf(row: string, { table, addedVersion }: EarlierVersion, { columns }: SubscriptionTable): string {
  const converted = columns
    .filter((column) => !travelsAsJson(column))
    .map(({ name }) => {
      const value = `(json_populate_record(NULL::${table}, json_build_object(m.key, m.value))).${escapeIdentifier(name)}`;
      return `WHEN m.key = ${escapeLiteral(name)} AND json_typeof(m.value) IN ('array', 'object') THEN to_json(${value}::text)::text`;
    });
  const value = converted.length === 0 ? 'm.value' : `CASE ${converted.join(' ')} ELSE m.value::text END`;
  return asText(`SELECT concat('{', string_agg(concat(to_json(m.key), ':', ${value}), ',' ORDER BY m.place), '}')
    FROM json_each(${row}) WITH ORDINALITY m(key, value, place)${addedVersion ? ` WHERE m.key <> 'version'` : ''}`);
}

/** Returns the SQL that copies changes, whose images and previous values are taken out of the texts of their events. */
function copyChanges(earlier: EarlierVersion, described: SubscriptionTable, condition: string): string {
  return `
INSERT INTO subscription_sync.changes (version, operation, email, image, previous, actor, reason, origin, database_user, application_name,
  traceparent, occurred_at, txid, transition_violation)
SELECT c.version, c.operation, c.email, ${imageOf(`e.data->'subscription'`, earlier, described)}, nullif(${asText(`e.data->'previous'`)}, '{}'),
  c.actor, c.reason, c.origin, ${UNKNOWN_USER}, c.application_name, c.traceparent, c.occurred_at, c.txid, c.forbidden
FROM ${earlier.schema}.subscription_changes c, LATERAL (SELECT ${asJson('c.event')}->'data' AS data OFFSET 0) e
WHERE ${condition}
ON CONFLICT DO NOTHING`;
}

/** Returns the SQL that stores the versions of rows whose changes were pruned: the table has them until its column is dropped. */
function copyPruned(earlier: EarlierVersion, described: SubscriptionTable): string {
  const { schema, table } = earlier;
  return `
INSERT INTO subscription_sync.pruned_changes (version, operation, email, image, actor, origin, database_user, occurred_at, txid, transition_violation)
SELECT s.version, 'updated', s.email::text, ${imageOf(asJson('row_to_json(s.*)::text'), earlier, described)}, ${UNKNOWN_USER}, ${UNKNOWN_USER}, ${UNKNOWN_USER},
  coalesce(s.updated_at, now()), h.txid, false
FROM ${table} s, ${schema}.log_horizon h
WHERE s.version > 0 AND NOT EXISTS (SELECT FROM ${schema}.subscription_changes c WHERE c.email = s.email::text AND c.version = s.version)`;
}

/** Returns the SQL that locks the table. It tries for a minute, 2 s at a time, so that other programs' statements do not queue behind it for longer. */
function lockPatiently(table: string): string {
  return `
SET LOCAL lock_timeout = '2s';
DO $$
BEGIN
  FOR attempt IN 1..30 LOOP
    BEGIN
      LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE;
      RETURN;
    EXCEPTION WHEN lock_not_available THEN
      IF attempt = 30 THEN RAISE; END IF;
    END;
  END LOOP;
END $$`;
}

/**
 * Returns the SQL that copies all other tables. The checkpoint's position in the WAL is left out: the slot cannot decode the new log, so the
 * capture creates it again and first publishes what the checkpoint's snapshot lacks. A run that was under way becomes a cancelled one.
 */
function copyTables(schema: string): string {
  const same = (table: string, columns: string): string =>
    `INSERT INTO subscription_sync.${table} (${columns}) SELECT ${columns} FROM ${schema}.${table};`;
  const runs = `id, reason, evidence, repair, position, compared, differing, repaired, runner, lease_until, started_at,
    kind, scope, after_email, until_email, load, rate, snapshot, since, cancel_requested`;
  const differences = 'id, run, email, cause, state, version_in_db1, version_in_db2, found_at, changed_at';
  return `
INSERT INTO subscription_sync.checkpoint (published_snapshot, updated_at) SELECT published_snapshot, updated_at FROM ${schema}.sync_checkpoint;
${same('unpublishable_changes', 'version, email, bytes, error, created_at')}
${same('log_horizon', 'id, txid, version, prunings')}
${same('idempotency_keys', 'principal, key, fingerprint, outcome, version, body, created_at')}
${same('imports', 'id, state, dry_run, lines, created, updated, unchanged, superseded, refused, errors, error, started_at, changed_at, finished_at')}
${same('api_keys', 'id, name, hash, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, replaced_by')}
UPDATE subscription_sync.api_keys SET created_in_open_mode = true WHERE created_by = 'api';
INSERT INTO subscription_sync.reconciliation_runs (${runs}, repair_limit, outcome, finished_at)
OVERRIDING SYSTEM VALUE
SELECT ${runs}, at_most, CASE WHEN finished_at IS NULL THEN 'cancelled' ELSE outcome END, coalesce(finished_at, clock_timestamp())
FROM ${schema}.reconciliation_runs;
INSERT INTO subscription_sync.reconciliation_differences (${differences}) OVERRIDING SYSTEM VALUE
SELECT ${differences} FROM ${schema}.reconciliation_differences;
SELECT setval(pg_get_serial_sequence('subscription_sync.' || t.name, 'id'), t.id) FROM (
  SELECT 'reconciliation_runs' AS name, max(id) AS id FROM subscription_sync.reconciliation_runs
  UNION ALL SELECT 'reconciliation_differences', max(id) FROM subscription_sync.reconciliation_differences) t WHERE t.id IS NOT NULL;
SELECT setval('subscription_sync.version', last_value, is_called) FROM ${schema}.subscription_version`;
}

const TRIGGERS = [
  'zz_subscription_sync_insert',
  'zz_subscription_sync_update',
  'aa_subscription_sync_insert',
  'aa_subscription_sync_update',
  'aa_subscription_sync_truncate',
];
const FUNCTIONS = [
  'subscription_append_change',
  'subscription_create',
  'subscription_delete',
  'subscription_draw_version',
  'subscription_email',
  'subscription_import',
  'subscription_json',
  'subscription_log_change',
  'subscription_may_follow',
  'subscription_merge_metadata',
  'subscription_merge_patch',
  'subscription_patch',
  'subscription_put',
  'subscription_put_lines',
  'subscription_refuse_truncate',
  'subscription_set_context',
  'subscription_write',
];

/** Returns the SQL that drops what version 0.1 created. The users' table keeps its rows, and the columns that were added for the API. */
function drop(schema: string): string {
  return `
${TRIGGERS.map((name) => `DROP TRIGGER ${name} ON ${schema}.subscriptions;`).join('\n')}
DROP INDEX IF EXISTS ${schema}.subscriptions_by_version, ${schema}.subscriptions_by_updated_at;
DROP PUBLICATION IF EXISTS subscription_sync;
DROP TABLE ${schema}.subscription_changes, ${schema}.sync_checkpoint, ${schema}.unpublishable_changes, ${schema}.log_horizon,
  ${schema}.idempotency_keys, ${schema}.imports, ${schema}.api_keys, ${schema}.rate_limits, ${schema}.reconciliation_differences,
  ${schema}.reconciliation_runs, ${schema}.subscription_sync_migrations;
DO $$
DECLARE
  function regprocedure;
BEGIN
  FOR function IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = '${schema}'::regnamespace AND p.proname = ANY ('{${FUNCTIONS.join(',')}}') LOOP
    EXECUTE 'DROP FUNCTION ' || function;
  END LOOP;
END $$;
DROP SEQUENCE ${schema}.subscription_version`;
}

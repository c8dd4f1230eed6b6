import { BUSINESS_COLUMN_NAMES, DEFAULT_VALUES, ROW_COLUMN_NAMES } from '#events';
import { columnOf, ENTER_ROLE_PATH, fieldsOf, hasKey, LEAVE_ROLE_PATH, rowJson, SQLSTATE, type SubscriptionTable } from '#postgres';
import { literal, touched, writtenColumns } from './column-list.js';

/**
 * Executes a write of the API in one round trip. Its preconditions, the status transition and its idempotency key are checked and stored in
 * the transaction of the write (ADR 15).
 *
 * - `op`: `create`, `put`, `patch` or `delete`. `fields`: business columns as JSON; other keys are ignored.
 * - `context`: `actor`, `reason`, `origin`, `traceparent`, which are recorded in the change log; `reactivate`; `must_exist` and
 *   `must_be_new` (`If-Match: *`, `If-None-Match: *`); `key` and `fingerprint` of an idempotent request; `metadata_limits`, the maximum
 *   size of metadata (`keys`, `bytes`).
 * - `if_match`, `if_none_match`: the entity tags that these headers name: MD5 hashes of the row as the API shows it. An empty list matches
 *   no row.
 *
 * `outcome` is `created`, `updated` or `deleted`; if nothing was written it is `exists`, `missing`, `precondition_failed`,
 * `transition_not_allowed`, `key_in_use`, `key_reused` or `unknown_fields`, whose `body` are the fields that the table lacks or computes
 * itself. `version` is that of the email's newest change, and `body` the row after the write. If nothing was written, `body` and `status` are
 * those of the existing row. `replayed`: an earlier request with that key made the write.
 *
 * The usual case is one UPDATE whose WHERE checks everything under the row's lock: READ COMMITTED evaluates it again for a row that it had
 * to wait for. Only if the UPDATE finds no row, another statement looks for the reason. If there is no reason any more, another transaction
 * committed in between, and the write starts again. A row whose email other programs wrote in another spelling is found through the log.
 *
 * While triggers of the table fire, deferred ones included, the search_path is that of the service's role. All other statements run with the service's own.
 */
function createSubscriptionWrite(table: SubscriptionTable, rowBody: string): string {
  const { sql, key, status, keyColumn } = table;
  const columns = writtenColumns(table);
  const names = columns.map(({ name }) => name);
  const list = (prefix = ''): string => names.map((name) => prefix + name).join(', ');
  const renamed = columns
    .filter(({ field, column }) => field !== column)
    .map(
      ({ field, column }) =>
        `fields := CASE WHEN fields ? '${field}' THEN fields - '${field}' || jsonb_build_object(${literal(column)}, fields->'${field}') ELSE fields END;`,
    );
  const created = touched(
    table,
    ['created_at', 'updated_at'].filter((field) => columnOf(table, field)?.hasDefault === false),
  );
  const updated = touched(table, ['updated_at']);
  const defaults = Object.fromEntries(Object.entries(DEFAULT_VALUES).filter(([field]) => columns.some((column) => column.field === field)));
  const enter = `(SELECT ${ENTER_ROLE_PATH}) IS NOT NULL`;
  const leave = `written := FOUND;
      search_path := ${LEAVE_ROLE_PATH};`;
  // A table that the service created has all of them.
  const refusal =
    columns.length === BUSINESS_COLUMN_NAMES.length
      ? ''
      : `SELECT string_agg(k, ',') INTO body FROM jsonb_object_keys(fields) k WHERE k NOT IN (${columns.map(({ field }) => `'${field}'`).join(', ')});
  IF body IS NOT NULL THEN
    outcome := 'unknown_fields';
    RETURN NEXT;
    RETURN;
  END IF;`;
  // A patch of metadata changes only its members.
  const merged = columns.some(({ field }) => field === 'metadata')
    ? `CASE WHEN op = 'patch' AND fields ? 'metadata'
           THEN jsonb_set(fields, '{metadata}', subscription_sync.merge_metadata(to_jsonb(s.metadata), fields->'metadata', context->'metadata_limits'))
           ELSE fields END`
    : 'fields';
  return `
CREATE OR REPLACE FUNCTION subscription_sync.write(op text, p_email text, fields jsonb, context jsonb, if_match text[], if_none_match text[])
RETURNS TABLE (outcome text, version bigint, body text, status text, replayed boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  normalised_email text := subscription_sync.normalize_email(p_email);
  found_key        ${keyColumn.typeOfAnyLength} := normalised_email;
  target           text := fields->>'status';
  reactivate       boolean := context @> '{"reactivate": true}';
  must_exist       boolean := if_match IS NOT NULL OR context @> '{"must_exist": true}';
  must_be_new      boolean := context @> '{"must_be_new": true}';
  stored           subscription_sync.idempotency_keys;
  written          boolean;
  search_path      text;
BEGIN
  replayed := false;
  IF context ? 'key' THEN
    -- Held until the commit. A second request does not wait for it: it could wait for a client that gave up long ago.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(concat(context->>'actor', E'\\n', context->>'key'), 0)) THEN
      outcome := 'key_in_use';
      RETURN NEXT;
      RETURN;
    END IF;
    SELECT * INTO stored FROM subscription_sync.idempotency_keys k
    WHERE k.principal = context->>'actor' AND k.key = context->>'key' AND k.created_at > now() - interval '24 hours';
    IF FOUND THEN
      outcome := CASE WHEN stored.fingerprint = context->>'fingerprint' THEN stored.outcome ELSE 'key_reused' END;
      version := stored.version;
      body := stored.body;
      replayed := outcome <> 'key_reused';
      RETURN NEXT;
      RETURN;
    END IF;
  END IF;

  PERFORM subscription_sync.set_context(context);
  IF reactivate THEN PERFORM set_config('subscription_sync.reactivate', 'on', true); END IF;
  ${refusal}
  IF op IN ('create', 'put') THEN
    fields := ${literal(JSON.stringify(defaults))} || fields;
  END IF;
  ${renamed.join('\n  ')}

  FOR attempt IN 1..5 LOOP
    IF op IN ('put', 'patch') THEN
      UPDATE ${sql} s
      SET (${[...names, ...updated].join(', ')}) =
        (SELECT ${[list('f.'), ...updated.map((name) => `CASE WHEN f.* OPERATOR(pg_catalog.*<>) s.* THEN clock_timestamp() ELSE s.${name} END`)].join(', ')}
         FROM jsonb_populate_record(s.*, ${merged}) f)
      WHERE ${hasKey(table, 's', 'found_key')} AND NOT must_be_new
        AND (if_match IS NULL OR md5(${rowBody}) = ANY (if_match))
        AND (if_none_match IS NULL OR md5(${rowBody}) <> ALL (if_none_match))
        AND (target IS NULL OR subscription_sync.transition_allowed(s.${status}::text, target, reactivate))
        AND ${enter}
      RETURNING ${rowBody} INTO body;
      ${leave}
      IF written THEN outcome := 'updated'; END IF;
    ELSIF op = 'delete' THEN
      DELETE FROM ${sql} s
      WHERE ${hasKey(table, 's', 'found_key')} AND NOT must_be_new
        AND (if_match IS NULL OR md5(${rowBody}) = ANY (if_match))
        AND (if_none_match IS NULL OR md5(${rowBody}) <> ALL (if_none_match))
        AND ${enter};
      ${leave}
      IF written THEN outcome := 'deleted'; END IF;
    END IF;
    IF outcome IS NULL AND attempt = 1 THEN
      found_key := subscription_sync.existing_key(normalised_email);
      CONTINUE WHEN found_key::text <> normalised_email;
    END IF;
    IF outcome IS NULL AND found_key::text = normalised_email AND (op = 'create' OR op = 'put' AND NOT must_exist) THEN
      INSERT INTO ${sql} AS s (${[key, ...names, ...created].join(', ')})
      SELECT ${['normalised_email', ...names.map((name) => `f.${name}`), ...created.map(() => 'clock_timestamp()')].join(', ')}
      FROM jsonb_populate_record(NULL::${sql}, fields) f WHERE ${enter}
      ON CONFLICT (${key}) DO NOTHING
      RETURNING ${rowBody} INTO body;
      ${leave}
      IF written THEN outcome := 'created'; END IF;
    END IF;
    EXIT WHEN outcome IS NOT NULL;

    SELECT ${rowBody}, s.${status}::text INTO body, status FROM ${sql} s WHERE ${hasKey(table, 's', 'found_key')};
    IF NOT FOUND THEN
      IF op IN ('patch', 'delete') OR must_exist THEN outcome := 'missing'; END IF;
      found_key := normalised_email;
    ELSIF op = 'create' THEN
      outcome := 'exists';
    ELSIF must_be_new OR md5(body) <> ALL (if_match) OR md5(body) = ANY (if_none_match) THEN
      outcome := 'precondition_failed';
    ELSIF NOT subscription_sync.transition_allowed(status, target, reactivate) THEN
      outcome := 'transition_not_allowed';
    END IF;
    EXIT WHEN outcome IS NOT NULL;
  END LOOP;
  IF outcome IS NULL THEN
    RAISE EXCEPTION 'concurrent transactions kept creating and deleting the row' USING ERRCODE = 'serialization_failure';
  END IF;

  IF outcome IN ('created', 'updated', 'deleted') THEN
    -- A trigger of another program may have drawn a version for another row since.
    version := subscription_sync.newest_version(normalised_email);
  END IF;

  -- Only writes are stored. A refusal changed nothing: the same request is executed again later.
  IF context ? 'key' AND outcome IN ('created', 'updated', 'deleted') THEN
    INSERT INTO subscription_sync.idempotency_keys (principal, key, fingerprint, outcome, version, body)
    VALUES (context->>'actor', context->>'key', context->>'fingerprint', outcome, version, body)
    ON CONFLICT (principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome,
      version = excluded.version, body = excluded.body, created_at = excluded.created_at;
  END IF;
  search_path := ${ENTER_ROLE_PATH};
  RETURN NEXT;
END $$`;
}

/**
 * Applies a JSON merge patch to `metadata` (RFC 7396). Many small patches must not make it larger than one write may: beyond the limits
 * `limits` it may only shrink. Raw SQL may make it larger. The write calls it when the search_path is that of the service's role.
 */
const CREATE_MERGE_FUNCTIONS = `
CREATE OR REPLACE FUNCTION subscription_sync.merge_patch(target jsonb, patch jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  merged jsonb := CASE jsonb_typeof(target) WHEN 'object' THEN target ELSE '{}' END;
  member record;
BEGIN
  IF jsonb_typeof(patch) <> 'object' THEN RETURN patch; END IF;
  FOR member IN SELECT p.key, p.value FROM jsonb_each(patch) p LOOP
    IF member.value = 'null' THEN
      merged := merged - member.key;
    ELSE
      merged := merged || jsonb_build_object(member.key, subscription_sync.merge_patch(merged->member.key, member.value));
    END IF;
  END LOOP;
  RETURN merged;
END $$;

CREATE OR REPLACE FUNCTION subscription_sync.merge_metadata(before jsonb, patch jsonb, limits jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  merged jsonb   := subscription_sync.merge_patch(before, patch);
  bytes  integer := octet_length(merged::text);
BEGIN
  IF bytes > octet_length(before::text)
    AND (bytes > (limits->>'bytes')::integer OR (SELECT count(*) FROM jsonb_object_keys(merged)) > (limits->>'keys')::integer) THEN
    RAISE EXCEPTION 'metadata would be too large' USING ERRCODE = '${SQLSTATE.metadataTooLarge}';
  END IF;
  RETURN merged;
END $$`;

/**
 * `subscription_sync.newest_version` returns the version of an email's newest change, NULL for an email without one.
 * `subscription_sync.set_context` tells the triggers who writes in this transaction, and why.
 */
const CREATE_CONTEXT_FUNCTIONS = `
CREATE OR REPLACE FUNCTION subscription_sync.newest_version(key text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    (SELECT c.version FROM subscription_sync.changes c WHERE c.email = key ORDER BY c.version DESC LIMIT 1),
    (SELECT p.version FROM subscription_sync.pruned_changes p WHERE p.email = key))
$$;

CREATE OR REPLACE FUNCTION subscription_sync.set_context(context jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('subscription_sync.actor', coalesce(context->>'actor', ''), true),
          set_config('subscription_sync.reason', coalesce(context->>'reason', ''), true),
          set_config('subscription_sync.origin', coalesce(context->>'origin', ''), true),
          set_config('subscription_sync.traceparent', coalesce(context->>'traceparent', ''), true);
END $$`;

/** Returns the functions of the API's writes, in the order of installation. */
export function createWriteFunctions(table: SubscriptionTable, mapped: readonly string[] | undefined): readonly string[] {
  const body = rowJson(table, fieldsOf(table, ROW_COLUMN_NAMES, mapped), 's');
  return [CREATE_CONTEXT_FUNCTIONS, CREATE_MERGE_FUNCTIONS, createSubscriptionWrite(table, body)];
}

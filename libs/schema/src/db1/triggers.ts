import { escapeIdentifier } from 'pg';

/** A column of `subscriptions` in the catalog. */
export interface Column {
  readonly name: string;
  /** Whether `IS DISTINCT FROM` works on it: json and xml have no equality. */
  readonly comparable: boolean;
}

/** Selects the columns whose previous value an event may contain. `version` and `updated_at` change with every change and mean nothing there. */
export const SELECT_COLUMNS = `
SELECT attname AS name, atttypid NOT IN ('json'::regtype, 'xml'::regtype, 'point'::regtype) AS comparable
FROM pg_attribute
WHERE attrelid = 'subscriptions'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('email', 'version', 'updated_at')
ORDER BY attnum`;

/**
 * Normalises an email, by one rule for SQL and API: trimmed, lower case, NFC. `collation` defines lower case: ICU's root if the server has it,
 * because under "C" only ASCII letters have a lower case.
 */
export function createNormaliser(collation: string): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.normalize_email(raw text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT normalize(lower(btrim(raw, E' \\t\\n\\r\\f\\v\\u00a0') COLLATE ${collation}), NFC) COLLATE "C" $$`;
}

/**
 * BEFORE ROW: normalises the email and draws the version. For an UPDATE it runs under the row's lock, so versions cannot be inverted. An
 * INSERT may have waited for a DELETE; the AFTER trigger then draws again (ADR 2).
 *
 * SECURITY DEFINER and a pinned search_path: programs that may write `subscriptions` need no privilege on the log, and their own search_path
 * cannot redirect it. Tables and functions are named with their schemas; `schema`, that of the table, is in the search_path for the operators of
 * its columns' types. Both SETs together cost 3 to 7 % of a single-row update.
 */
export function createVersionTrigger(schema: string): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.draw_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp
AS $$
DECLARE
  requested bigint := NEW.version;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    -- The redraw below names the version it writes. A version from another writer (an ORM that writes a whole row back) is ignored.
    IF NEW.version <> OLD.version AND current_setting('subscription_sync.redraw', true) = NEW.version::text THEN
      RETURN NEW;
    END IF;
    NEW.version := OLD.version;
    NEW.updated_at := OLD.updated_at;
    IF OLD.version = 0 OR NEW.email IS DISTINCT FROM OLD.email THEN
      NEW.email := subscription_sync.normalize_email(NEW.email);
    END IF;
    IF OLD.version <> 0 AND NOT (NEW *<> OLD) THEN
      -- A resync gives the unchanged row a new version. It is not a change of the row, so updated_at stays.
      IF requested = 0 AND current_setting('subscription_sync.resync', true) = 'on' THEN
        NEW.version := nextval('subscription_sync.version');
      END IF;
      RETURN NEW;
    END IF;
  ELSE
    NEW.email := subscription_sync.normalize_email(NEW.email);
  END IF;
  NEW.version := nextval('subscription_sync.version');
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$`;
}

/**
 * AFTER ROW: appends the change. A deletion draws its version here, under the deleted row's lock. A row that took a key (an INSERT, or an
 * UPDATE of the email) draws again if the log holds a higher version of that email, because it had waited for a concurrent DELETE. Above READ
 * COMMITTED that deletion is not visible, so there it always draws again (ADR 2).
 */
export function createLogTrigger(schema: string, columns: readonly Column[]): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.log_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  operation text := 'updated';
  previous  text;
  taken     boolean := false;
  drawn     bigint;
  transition_violation boolean := false;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF pg_trigger_depth() > 1 AND current_setting('subscription_sync.redraw', true) = NEW.version::text THEN
      RETURN NULL;
    END IF;
    IF OLD.version = 0 THEN
      operation := 'created';
      taken := NEW.email <> OLD.email;
    ELSIF NEW.email <> OLD.email THEN
      operation := 'created';
      taken := true;
      OLD.version := nextval('subscription_sync.version');
      OLD.updated_at := NEW.updated_at;
      PERFORM subscription_sync.append_change('deleted', OLD, NULL);
    ELSIF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at AND current_setting('subscription_sync.resync', true) = 'on' THEN
      operation := 'resynced';
    ELSE
      previous := nullif(substr(concat(
        ${columns.map(previousValue).join(',\n        ')}
      ), 2), '');
      transition_violation := NEW.status <> OLD.status AND NOT subscription_sync.transition_allowed(OLD.status::text, NEW.status::text,
        coalesce(current_setting('subscription_sync.reactivate', true) = 'on', false));
    END IF;
  ELSIF TG_OP = 'INSERT' THEN
    operation := 'created';
    taken := true;
  ELSE
    OLD.version := nextval('subscription_sync.version');
    OLD.updated_at := clock_timestamp();
    PERFORM subscription_sync.append_change('deleted', OLD, NULL);
    RETURN NULL;
  END IF;

  IF taken AND (
    current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
    OR EXISTS (SELECT FROM subscription_sync.changes c WHERE c.email = NEW.email AND c.version > NEW.version)
  ) THEN
    drawn := NEW.version;
    NEW.version := nextval('subscription_sync.version');
    PERFORM set_config('subscription_sync.redraw', NEW.version::text, true);
    -- Also by version: a snapshot above READ COMMITTED may still see the deleted row of that email, and fail to update it.
    UPDATE ${schema}.subscriptions SET version = NEW.version WHERE email = NEW.email AND version = drawn;
    PERFORM set_config('subscription_sync.redraw', '', true);
  END IF;

  PERFORM subscription_sync.append_change(operation, NEW, previous, transition_violation);
  RETURN NULL;
END $$`;
}

/** Returns the SQL that adds a column's previous value to `previous` if it has changed. */
function previousValue({ name, comparable }: Column): string {
  const column = escapeIdentifier(name);
  const key = `,${JSON.stringify(name)}:`.replaceAll("'", "''");
  const [now, before] = comparable ? [`NEW.${column}`, `OLD.${column}`] : [`NEW.${column}::text`, `OLD.${column}::text`];
  return `CASE WHEN ${now} IS DISTINCT FROM ${before} THEN concat('${key}', coalesce(to_json(OLD.${column}), 'null')) END`;
}

/**
 * Maximum size (bytes) of `previous`; a larger one is left out. The change that makes a row small again must not be as large as the row was:
 * Kafka would refuse it as well, and the row would never be replicated again.
 */
const MAX_PREVIOUS_BYTES = 1024 * 1024;

/**
 * Appends one change: the row's image, and `previous`, the members of a JSON object. Actor, reason, origin and trace are claims of the
 * writer: they come from the transaction's settings `subscription_sync.actor`, `.reason`, `.origin` and `.traceparent`, which any program
 * may set with SET LOCAL. Without them the actor is the session's user, which the log always keeps as well (`database_user`).
 * `transition_violation` means that the status transition is not allowed.
 *
 * Only the triggers may call it: it writes to the log with the owner's privileges.
 */
export function createAppendFunction(schema: string): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.append_change(operation text, image subscriptions, previous text, transition_violation boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  actor       text := coalesce(nullif(current_setting('subscription_sync.actor', true), ''), session_user);
  reason      text := nullif(current_setting('subscription_sync.reason', true), '');
  origin      text := coalesce(nullif(current_setting('subscription_sync.origin', true), ''), 'sql');
  traceparent text := nullif(current_setting('subscription_sync.traceparent', true), '');
  occurred    timestamptz := CASE operation WHEN 'resynced' THEN clock_timestamp() ELSE image.updated_at END;
BEGIN
  INSERT INTO subscription_sync.changes
    (version, operation, email, image, previous, actor, reason, origin, application_name, traceparent, occurred_at, transition_violation)
  VALUES (
    image.version, operation, image.email, row_to_json(image)::text,
    CASE WHEN octet_length(previous) <= ${MAX_PREVIOUS_BYTES} THEN concat('{', previous, '}') END,
    actor, reason, origin, nullif(current_setting('application_name'), ''), traceparent, occurred, coalesce(transition_violation, false));
END $$;
REVOKE EXECUTE ON FUNCTION subscription_sync.append_change(text, subscriptions, text, boolean) FROM PUBLIC`;
}

/**
 * BEFORE TRUNCATE: appends the deletion of each row. No other writer is there, because TRUNCATE has locked the table. Above READ COMMITTED
 * TRUNCATE also removes rows that its transaction cannot see, so they are not in the log; a comparison finds them in DB2 (libs/reconciliation).
 */
export function createTruncateTrigger(schema: string): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.log_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp
AS $$
BEGIN
  PERFORM subscription_sync.append_change('deleted', d.image, NULL)
  FROM (
    SELECT jsonb_populate_record(s, jsonb_build_object('version', nextval('subscription_sync.version'), 'updated_at', clock_timestamp())) AS image
    FROM ${schema}.subscriptions s
  ) d;
  RETURN NULL;
END $$`;
}

/**
 * The names determine the order: BEFORE triggers run last (zz), so that they see the row after other triggers have changed it; AFTER triggers
 * run first (aa), so that a change made by another trigger is logged after this one. They also fire in sessions that apply changes of another
 * server (session_replication_role = replica): such changes have to reach DB2 like any other.
 */
export const CREATE_TRIGGERS = `
CREATE TRIGGER zz_subscription_sync_insert BEFORE INSERT ON subscriptions
  FOR EACH ROW EXECUTE FUNCTION subscription_sync.draw_version();
CREATE TRIGGER zz_subscription_sync_update BEFORE UPDATE ON subscriptions
  FOR EACH ROW WHEN (OLD.version = 0 OR OLD.* *<> NEW.*) EXECUTE FUNCTION subscription_sync.draw_version();
CREATE TRIGGER aa_subscription_sync_insert AFTER INSERT OR DELETE ON subscriptions
  FOR EACH ROW EXECUTE FUNCTION subscription_sync.log_change();
CREATE TRIGGER aa_subscription_sync_update AFTER UPDATE ON subscriptions
  FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION subscription_sync.log_change();
CREATE TRIGGER aa_subscription_sync_truncate BEFORE TRUNCATE ON subscriptions
  FOR EACH STATEMENT EXECUTE FUNCTION subscription_sync.log_truncate();
ALTER TABLE subscriptions
  ENABLE ALWAYS TRIGGER zz_subscription_sync_insert, ENABLE ALWAYS TRIGGER zz_subscription_sync_update,
  ENABLE ALWAYS TRIGGER aa_subscription_sync_insert, ENABLE ALWAYS TRIGGER aa_subscription_sync_update,
  ENABLE ALWAYS TRIGGER aa_subscription_sync_truncate;`;

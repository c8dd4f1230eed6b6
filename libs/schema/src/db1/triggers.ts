import { escapeIdentifier } from 'pg';

/** A column of `subscriptions` in the catalog. */
export interface Column {
  readonly name: string;
  /** Whether `IS DISTINCT FROM` works on it: json and xml have no equality. */
  readonly comparable: boolean;
}

/** Selects the columns whose previous value an event may contain. `updated_at` changes with every change and means nothing there. */
export const SELECT_COLUMNS = `
SELECT attname AS name, atttypid NOT IN ('json'::regtype, 'xml'::regtype, 'point'::regtype) AS comparable
FROM pg_attribute
WHERE attrelid = 'subscriptions'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('email', 'updated_at')
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

/** BEFORE ROW: normalises the email, and sets `updated_at` when the row changes. Its rights are the owner's, because a writer needs none on the schema. */
export const CREATE_ROW_TRIGGER = `
CREATE OR REPLACE FUNCTION subscription_sync.prepare_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Also where the email stays: a row that existed before the triggers may not be normalised.
  NEW.email := subscription_sync.normalize_email(NEW.email);
  IF TG_OP = 'UPDATE' THEN
    NEW.updated_at := OLD.updated_at;
    IF NOT (NEW *<> OLD) THEN
      RETURN NEW;
    END IF;
  END IF;
  NEW.updated_at := clock_timestamp();
  RETURN NEW;
END $$`;

/**
 * AFTER ROW: appends the change, whose version the log's insert draws. Versions of an email cannot be inverted, at any isolation level: an
 * UPDATE or DELETE holds the row's lock when this trigger runs, and an INSERT (or an UPDATE of the email) of a key that another transaction
 * is deleting has waited in the unique index until that transaction has ended (ADR 2).
 *
 * SECURITY DEFINER and a pinned search_path: programs that may write `subscriptions` need no privilege on the log, and their own search_path
 * cannot redirect it. Tables and functions are named with their schemas; `schema`, that of the table, is in the search_path for the operators of
 * its columns' types. Both SETs together cost 3 to 7 % of a single-row update.
 */
export function createLogTrigger(schema: string, columns: readonly Column[]): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.log_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  previous text;
  transition_violation boolean := false;
BEGIN
  IF TG_OP = 'INSERT' THEN
    PERFORM subscription_sync.append_change('created', NEW);
  ELSIF TG_OP = 'DELETE' THEN
    PERFORM subscription_sync.append_change('deleted', OLD);
  ELSIF NEW.email <> OLD.email AND NEW.email <> subscription_sync.normalize_email(OLD.email) THEN
    PERFORM subscription_sync.append_change('deleted', OLD);
    PERFORM subscription_sync.append_change('created', NEW);
  ELSE
    previous := nullif(substr(concat(
        ${columns.map(previousValue).join(',\n        ')}
      ), 2), '');
    transition_violation := NEW.status <> OLD.status AND NOT subscription_sync.transition_allowed(OLD.status::text, NEW.status::text,
      coalesce(current_setting('subscription_sync.reactivate', true) = 'on', false));
    -- A row that existed before the triggers may be changed before it is recorded.
    IF NEW.email <> OLD.email AND subscription_sync.newest_version(NEW.email) IS NULL THEN
      PERFORM subscription_sync.append_change('created', NEW);
    ELSE
      PERFORM subscription_sync.append_change('updated', NEW, previous, transition_violation);
    END IF;
  END IF;
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
 * Appends one change and returns its version: the row's image, and `previous`, the members of a JSON object. The version is `drawn`, or the
 * next one. Actor, reason, origin and trace are claims of the writer: they come from the transaction's settings `subscription_sync.actor`,
 * `.reason`, `.origin` and `.traceparent`, which any program may set with SET LOCAL. Without them the actor is the session's user, which the
 * log always keeps as well (`database_user`). `transition_violation` means that the status transition is not allowed.
 *
 * Only the triggers and the service may call it: it writes to the log with the owner's privileges.
 */
export function createAppendFunction(schema: string): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.append_change(
  operation text, image subscriptions, previous text DEFAULT NULL, transition_violation boolean DEFAULT false, drawn bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ${schema}, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  appended bigint := coalesce(drawn, nextval('subscription_sync.version'));
BEGIN
  INSERT INTO subscription_sync.changes
    (version, operation, email, image, previous, actor, reason, origin, application_name, traceparent, occurred_at, transition_violation)
  VALUES (
    appended, operation, image.email, row_to_json(image)::text,
    CASE WHEN octet_length(previous) <= ${MAX_PREVIOUS_BYTES} THEN concat('{', previous, '}') END,
    coalesce(nullif(current_setting('subscription_sync.actor', true), ''), session_user),
    nullif(current_setting('subscription_sync.reason', true), ''),
    coalesce(nullif(current_setting('subscription_sync.origin', true), ''), 'sql'),
    nullif(current_setting('application_name'), ''),
    nullif(current_setting('subscription_sync.traceparent', true), ''),
    clock_timestamp(), coalesce(transition_violation, false));
  RETURN appended;
END $$;
REVOKE EXECUTE ON FUNCTION subscription_sync.append_change(text, subscriptions, text, boolean, bigint) FROM PUBLIC`;
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
  PERFORM subscription_sync.append_change('deleted', s) FROM ${schema}.subscriptions s;
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
  FOR EACH ROW EXECUTE FUNCTION subscription_sync.prepare_row();
CREATE TRIGGER zz_subscription_sync_update BEFORE UPDATE ON subscriptions
  FOR EACH ROW WHEN (OLD.* *<> NEW.*) EXECUTE FUNCTION subscription_sync.prepare_row();
CREATE TRIGGER aa_subscription_sync_insert AFTER INSERT OR DELETE ON subscriptions
  FOR EACH ROW EXECUTE FUNCTION subscription_sync.log_change();
CREATE TRIGGER aa_subscription_sync_update AFTER UPDATE ON subscriptions
  FOR EACH ROW WHEN (OLD.* *<> NEW.*) EXECUTE FUNCTION subscription_sync.log_change();
CREATE TRIGGER aa_subscription_sync_truncate BEFORE TRUNCATE ON subscriptions
  FOR EACH STATEMENT EXECUTE FUNCTION subscription_sync.log_truncate();
ALTER TABLE subscriptions
  ENABLE ALWAYS TRIGGER zz_subscription_sync_insert, ENABLE ALWAYS TRIGGER zz_subscription_sync_update,
  ENABLE ALWAYS TRIGGER aa_subscription_sync_insert, ENABLE ALWAYS TRIGGER aa_subscription_sync_update,
  ENABLE ALWAYS TRIGGER aa_subscription_sync_truncate;`;

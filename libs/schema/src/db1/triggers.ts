import { escapeIdentifier } from 'pg';
import { concatenation, hasKey, imageExpression, JSON_TYPES, type SubscriptionTable, type TableColumn, travelsAsJson } from '#postgres';
import { literal } from './column-list.js';

/** Characters that are removed from both ends of an email. */
const SPACES = String.raw`E' \t\n\r\f\v\u00a0'`;

/**
 * Normalises an email, by one rule for SQL and API: trimmed, lower case, NFC. `collation` defines lower case: ICU's root if the server has it,
 * because under "C" only ASCII letters have a lower case.
 */
export function createNormaliser(hasIcu: boolean): string {
  return `
CREATE OR REPLACE FUNCTION subscription_sync.normalize_email(raw text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT normalize(lower(btrim(raw, ${SPACES}) COLLATE ${hasIcu ? '"und-x-icu"' : '"default"'}), NFC) COLLATE "C" $$`;
}

/** The settings of a session that change the text of values, and their values while a change is recorded. */
const TEXT_SETTINGS = `SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET xmlbinary = 'base64'`;
/** Types in whose JSON a setting appears, apart from the time zone. */
const DEPENDENT_ON_SETTINGS = new Set(['real', 'double precision']);

/** Each SET costs 1 to 3 % of a single-row update, so a table has only those that its columns need. */
function textSettings({ columns }: SubscriptionTable): string {
  const isPlain = columns.every(({ typeOfAnyLength: type }) => JSON_TYPES.has(type) && !DEPENDENT_ON_SETTINGS.has(type));
  return isPlain ? `SET TimeZone = 'UTC'` : TEXT_SETTINGS;
}

/** Numbers of the columns of the email and the status (pg_attribute.attnum), which stay the same when a column is renamed. */
export interface ColumnNumbers {
  readonly key: number;
  readonly status: number;
}

/**
 * Returns the email, the status, the members of the image and the image of a row whose columns are read from the catalogs. It takes a row
 * ten times as long as expressions that name the columns do, and serves changes of a table whose columns were changed after the functions had
 * been made for them, and rows that jsonb refuses. It makes no jsonb: a domain over json may have \\u0000 or a number that is too large. A key
 * or status that was renamed is found by its number, and is in the image under both names, so that the change is applied. `email` is NULL if
 * the column was dropped.
 */
export function createCatalogRow({ keyColumn, statusColumn }: SubscriptionTable, numbers: ColumnNumbers): string {
  const name = (column: TableColumn): string => literal(column.name);
  const find = (variable: string, column: TableColumn, number: number): string => `
  SELECT a.attname INTO ${variable} FROM pg_attribute a
  WHERE a.attrelid = root AND NOT a.attisdropped AND (a.attname = ${name(column)} OR a.attnum = ${number})
  ORDER BY a.attname <> ${name(column)} LIMIT 1;`;
  const field = (variable: string): string => `CASE WHEN ${variable} IS NULL THEN 'NULL' ELSE format('($1).%I::text', ${variable}) END`;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.row_by_catalog(
  relation oid, changed record, OUT email text, OUT status text, OUT members text[], OUT image text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp ${TEXT_SETTINGS}
AS $$
DECLARE
  root oid := coalesce(pg_partition_root(relation), relation);
  key_name name;
  status_name name;
  expressions text;
BEGIN${find('key_name', keyColumn, numbers.key)}${find('status_name', statusColumn, numbers.status)}
  SELECT string_agg(format('%L || coalesce(to_json(%s)::text, ''null'')', to_json(a.attname::text)::text || ':',
      CASE WHEN a.attgenerated = 'v' THEN format('(SELECT %s FROM (SELECT ($1).*) v)', pg_get_expr(d.adbin, d.adrelid)) ELSE format('($1).%I', a.attname) END
        || CASE WHEN format_type(a.atttypid, -1) = ANY ('{${[...JSON_TYPES].join(',')}}') THEN '' ELSE '::text' END), ', ' ORDER BY a.attnum)
  INTO expressions
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = root AND a.attnum > 0 AND NOT a.attisdropped;
  EXECUTE format('SELECT %s, %s, ARRAY[%s]::text[]',
    ${field('key_name')}, ${field('status_name')}, expressions)
  INTO email, status, members USING changed;
  IF key_name <> ${name(keyColumn)} THEN members := members || (${memberStart(keyColumn)} || coalesce(to_json(email)::text, 'null')); END IF;
  IF status_name <> ${name(statusColumn)} THEN members := members || (${memberStart(statusColumn)} || coalesce(to_json(status)::text, 'null')); END IF;
  image := '{' || array_to_string(members, ',') || '}';
  email := subscription_sync.normalize_email(email);
END $$`;
}

/** Returns the start of a column's member of the image as SQL. */
function memberStart({ name }: Pick<TableColumn, 'name'>): string {
  return literal(`${JSON.stringify(name)}:`);
}

/** The start of the warning that a program gets, and PostgreSQL's log, when its change cannot be recorded. */
const NOT_RECORDED = 'subscription-sync could not record a change of %';
const RIGHTS_LOST = `RAISE WARNING '${NOT_RECORDED}: its role lacks a privilege (%)', TG_RELID::regclass, SQLERRM
      USING HINT = 'Grant the privilege again. The next comparison brings the change to Database 2.'`;

/**
 * AFTER ROW: appends the change, whose version the log's insert draws. Versions of an email cannot be inverted, at any isolation level: an
 * UPDATE or DELETE holds the row's lock when this trigger runs, and an INSERT (or an UPDATE of the email) of a key that another transaction
 * is deleting has waited in the unique index until that transaction has ended (ADR 2).
 *
 * The key is the normalised email. The table keeps what its writers wrote. A row without an email (NULL, or spaces) is nobody's, and is not recorded.
 *
 * SECURITY DEFINER and a pinned search_path: programs that may write the table need no privilege on the log, and their own search_path
 * cannot redirect it. Only pg_catalog is searched, so that no operator or function that another role has made is called with the owner's rights.
 *
 * The block that names columns, and may therefore fail after an ALTER TABLE, writes nothing: its subtransaction gets no transaction id, of
 * which more than 64 in a transaction would slow the whole server down (ADR 27).
 */
export function createLogTrigger(table: SubscriptionTable): string {
  const { key, status, columns, keyColumn } = table;
  const compared = columns.filter((column) => column !== keyColumn && column.name !== 'updated_at' && column.virtual === null);
  const normalised = (row: string): string => `subscription_sync.normalize_email(${row}.${key}::text)`;
  const violation = (before: string, after: string): string =>
    `${after} <> ${before} AND NOT subscription_sync.transition_allowed(${before}, ${after},
          coalesce(current_setting('subscription_sync.reactivate', true) = 'on', false))`;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.log_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp ${textSettings(table)}
AS $$
DECLARE
  email_before text;
  email text;
  image_before text;
  image text;
  status_before text;
  status text;
  members_before text[];
  members text[];
  previous text;
  violation boolean;
BEGIN
  BEGIN
    ${EXPECT_RIGHTS}
    IF TG_OP = 'INSERT' THEN
      email := ${normalised('NEW')};
      image := ${imageExpression(columns, 'NEW')};
    ELSIF TG_OP = 'DELETE' THEN
      email_before := ${normalised('OLD')};
      image_before := ${imageExpression(columns, 'OLD')};
    ELSE
      email := ${normalised('NEW')};
      email_before := CASE WHEN NEW.${key}::text = OLD.${key}::text THEN email ELSE ${normalised('OLD')} END;
      image := ${imageExpression(columns, 'NEW')};
      IF email IS DISTINCT FROM email_before THEN
        image_before := ${imageExpression(columns, 'OLD')};
      ELSE
        previous := substr(${concatenation(compared.map(previousValue))}, 2);
        violation := ${violation(`OLD.${status}::text`, `NEW.${status}::text`)};
      END IF;
    END IF;
    ${followNestedWrites(table)}
  EXCEPTION
    WHEN insufficient_privilege THEN
      ${RIGHTS_LOST};
      RETURN NULL;
    WHEN OTHERS THEN
      IF TG_OP <> 'INSERT' THEN
        SELECT * INTO email_before, status_before, members_before, image_before FROM subscription_sync.row_by_catalog(TG_RELID, OLD);
      END IF;
      IF TG_OP <> 'DELETE' THEN
        SELECT * INTO email, status, members, image FROM subscription_sync.row_by_catalog(TG_RELID, NEW);
      END IF;
      IF TG_OP = 'UPDATE' THEN
        SELECT string_agg(m, ',') INTO previous FROM unnest(members_before) m
        WHERE m <> ALL (members) AND NOT starts_with(m, ${memberStart(keyColumn)}) AND NOT starts_with(m, ${memberStart({ name: 'updated_at' })});
        violation := ${violation('status_before', 'status')};
      END IF;
      IF NOT EXISTS (SELECT FROM unnest(coalesce(members, members_before)) m WHERE starts_with(m, ${memberStart(keyColumn)})) THEN
        RAISE WARNING '${NOT_RECORDED}: it has no column % any more', TG_RELID::regclass, ${literal(keyColumn.name)}
          USING HINT = 'Set DB1_KEY_COLUMN to the column of the email, and restart subscription-sync.';
      END IF;
  END;
  IF TG_OP = 'UPDATE' AND email IS NOT DISTINCT FROM email_before THEN
    IF email <> '' THEN
      ${insertChange("nextval('subscription_sync.version')", "'updated'", "nullif(previous, '')", 'violation')};
    END IF;
  ELSE
    IF TG_OP <> 'INSERT' THEN PERFORM subscription_sync.append_change('deleted', email_before, image_before); END IF;
    IF TG_OP <> 'DELETE' THEN PERFORM subscription_sync.append_change('created', email, image); END IF;
  END IF;
  RETURN NULL;
END $$`;
}

/**
 * PostgreSQL fires the triggers of a statement that another trigger has executed before the rest of those of the outer statement. Such a
 * nested statement may have written a row again whose own trigger fires only now, and which would be recorded with a higher version than
 * the newer row. So from a transaction's first nested change on, the row is recorded as it is now, and a row that is gone, or is back, was recorded already.
 */
function followNestedWrites(table: SubscriptionTable): string {
  const { sql, key, columns } = table;
  return `IF pg_trigger_depth() > 1 THEN PERFORM set_config('subscription_sync.nested', 'on', true); END IF;
    IF current_setting('subscription_sync.nested', true) = 'on' THEN
      IF TG_OP <> 'INSERT' AND email_before IS DISTINCT FROM email AND EXISTS (SELECT FROM ${sql} s WHERE ${hasKey(table, 's', `OLD.${key}`)}) THEN
        email_before := '';
      END IF;
      IF TG_OP <> 'DELETE' THEN
        image := (SELECT ${imageExpression(columns, 's')} FROM ${sql} s WHERE ${hasKey(table, 's', `NEW.${key}`)});
        IF image IS NULL THEN
          IF email = email_before THEN email_before := ''; END IF;
          email := '';
        END IF;
      END IF;
    END IF;`;
}

/** The functions run with the rights of the service's role on its own log, which an administrator may have taken from it. */
const EXPECT_RIGHTS = `IF NOT (has_table_privilege('subscription_sync.changes'::regclass, 'INSERT')
        AND has_sequence_privilege('subscription_sync.version'::regclass, 'USAGE, UPDATE')
        AND has_function_privilege('subscription_sync.append_change(text, text, text, text, boolean, bigint)'::regprocedure, 'EXECUTE')) THEN
      RAISE insufficient_privilege USING MESSAGE = 'INSERT on subscription_sync.changes, USAGE on subscription_sync.version or EXECUTE on subscription_sync.append_change';
    END IF;`;

/** Returns the SQL that adds a column's previous value to `previous` if it has changed. `updated_at` changes with every change and means nothing there. */
function previousValue(column: TableColumn): string {
  const name = escapeIdentifier(column.name);
  const key = literal(`,${JSON.stringify(column.name)}:`);
  const text = travelsAsJson(column) ? '' : '::text';
  // json has no equality.
  const compared = column.typeOfAnyLength === 'json' ? '::text' : text;
  return `CASE WHEN NEW.${name}${compared} IS DISTINCT FROM OLD.${name}${compared} THEN concat(${key}, coalesce(to_json(OLD.${name}${text}), 'null')) END`;
}

/**
 * Maximum size (bytes) of `previous`; a larger one is left out. The change that makes a row small again must not be as large as the row was:
 * Kafka would refuse it as well, and the row would never be replicated again.
 */
const MAX_PREVIOUS_BYTES = 1024 * 1024;

/** Returns the INSERT of a change of the variables `email` and `image`. The trigger has it in line for updates: the call costs a fifth of the trigger's time. */
function insertChange(version: string, operation: string, previous: string, violation: string): string {
  return `INSERT INTO subscription_sync.changes
    (version, operation, email, image, previous, actor, reason, origin, application_name, traceparent, occurred_at, transition_violation)
  VALUES (
    ${version}, ${operation}, email, image,
    CASE WHEN octet_length(${previous}) <= ${MAX_PREVIOUS_BYTES} THEN concat('{', ${previous}, '}') END,
    coalesce(nullif(current_setting('subscription_sync.actor', true), ''), session_user),
    nullif(current_setting('subscription_sync.reason', true), ''),
    coalesce(nullif(current_setting('subscription_sync.origin', true), ''), 'sql'),
    nullif(current_setting('application_name'), ''),
    nullif(current_setting('subscription_sync.traceparent', true), ''),
    clock_timestamp(), coalesce(${violation}, false))`;
}

/**
 * Appends one change of an email and returns its version: the row's image, and `previous`, the members of a JSON object. The version is
 * `drawn`, or the next one. Actor, reason, origin and trace are claims of the writer: they come from the transaction's settings
 * `subscription_sync.actor`, `.reason`, `.origin` and `.traceparent`, which any program may set with SET LOCAL. Without them the actor is the
 * session's user, which the log always keeps as well (`database_user`). `transition_violation` means that the status transition is not allowed.
 *
 * Only the triggers and the service may call it: it writes to the log with the owner's privileges.
 */
export const CREATE_APPEND_FUNCTION = `
CREATE OR REPLACE FUNCTION subscription_sync.append_change(
  operation text, email text, image text, previous text DEFAULT NULL, transition_violation boolean DEFAULT false, drawn bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  appended bigint;
BEGIN
  IF email IS NULL OR email = '' THEN
    RETURN NULL;
  END IF;
  appended := coalesce(drawn, nextval('subscription_sync.version'));
  ${insertChange('appended', 'operation', 'previous', 'transition_violation')};
  RETURN appended;
END $$`;

/**
 * BEFORE TRUNCATE: appends the deletion of each row. No other writer is there, because TRUNCATE has locked the table. Above READ COMMITTED
 * TRUNCATE also removes rows that its transaction cannot see, so they are not in the log; a comparison finds them in DB2 (libs/reconciliation).
 */
export function createTruncateTrigger(table: SubscriptionTable): string {
  const { sql, key, columns } = table;
  return `
CREATE OR REPLACE FUNCTION subscription_sync.log_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp ${textSettings(table)}
AS $$
BEGIN
  BEGIN
    ${EXPECT_RIGHTS}
    -- Another table may have the name of this one, which was renamed.
    IF TG_RELID IS DISTINCT FROM to_regclass(${literal(sql)}) THEN RAISE undefined_table; END IF;
    PERFORM subscription_sync.append_change('deleted', subscription_sync.normalize_email(s.${key}::text), ${imageExpression(columns, 's')}) FROM ${sql} s;
  EXCEPTION
    WHEN insufficient_privilege THEN
      ${RIGHTS_LOST};
    WHEN OTHERS THEN
      EXECUTE format('SELECT subscription_sync.append_change(''deleted'', r.email, r.image) FROM %s s, subscription_sync.row_by_catalog(%s, s) r',
        TG_RELID::regclass, TG_RELID);
  END;
  RETURN NULL;
END $$`;
}

/**
 * These triggers run first (aa), so that the log has the changes of other triggers after the one that caused them. They also fire in sessions that apply changes of another server (session_replication_role = replica): such changes have to reach DB2 like any other.
 */
export function createTriggers({ sql }: Pick<SubscriptionTable, 'sql'>): string {
  return [...TRIGGERS.map(([name, rest]) => createTrigger(sql, name, rest)), enableTriggers(sql, TRIGGERS)].join(';\n');
}

/** Triggers of the users' table: their names, and their definitions up to the table's name and after it. */
const TRIGGERS = [
  ['aa_subscription_sync_insert', ['AFTER INSERT OR DELETE', 'FOR EACH ROW EXECUTE FUNCTION subscription_sync.log_change()']],
  [
    'aa_subscription_sync_update',
    ['AFTER UPDATE', 'FOR EACH ROW WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*) EXECUTE FUNCTION subscription_sync.log_change()'],
  ],
  ['aa_subscription_sync_truncate', ['BEFORE TRUNCATE', 'FOR EACH STATEMENT EXECUTE FUNCTION subscription_sync.log_truncate()']],
] as const;

function createTrigger(sql: string, name: string, [event, rest]: readonly [string, string]): string {
  return `CREATE TRIGGER ${name} ${event} ON ${sql} ${rest}`;
}

function enableTriggers(sql: string, triggers: readonly (readonly [string, ...unknown[]])[]): string {
  return `ALTER TABLE ${sql} ${triggers.map(([name]) => `ENABLE ALWAYS TRIGGER ${name}`).join(', ')}`;
}

/** Returns the statements that bring back the triggers that are missing or do not fire always; undefined if all of them do. `always` has the names of the others. */
export function restoreTriggers(sql: string, existing: readonly string[], always: readonly string[]): string | undefined {
  const broken = TRIGGERS.filter(([name]) => !always.includes(name));
  if (broken.length === 0) return undefined;
  const missing = broken.filter(([name]) => !existing.includes(name));
  return [...missing.map(([name, rest]) => createTrigger(sql, name, rest)), enableTriggers(sql, broken)].join('; ');
}

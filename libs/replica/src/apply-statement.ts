import { escapeIdentifier } from 'pg';
import type { ReceivedEvent } from '#events';

/** A column of DB2's table. */
export interface ReplicaColumn {
  readonly name: string;
  /** Type as PostgreSQL prints it, with its length. */
  readonly type: string;
  /** The same without the length: a cast to it cuts nothing off. */
  readonly typeOfAnyLength: string;
  /** pg_type.typcategory. */
  readonly category: string;
  readonly builtin: boolean;
  /** DB2 generates or numbers the values itself. */
  readonly generated: boolean;
}

/** SQL condition on a column `a` and its default `d`: DB2 generates or numbers the values itself, so those of events are not written. */
export const IS_GENERATED = `(a.attgenerated <> '' OR a.attidentity <> ''
    OR coalesce(pg_get_expr(d.adbin, d.adrelid), '') ~ '^(nextval|gen_random_uuid|uuid_generate|uuidv)')`;

export const SELECT_REPLICA_COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, -1) AS "typeOfAnyLength",
  t.typcategory AS category, t.typnamespace = 'pg_catalog'::regnamespace AS builtin,
  ${IS_GENERATED} AS "generated"
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'subscriptions'::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

/** Member of a row's JSON that holds the version. No column has this name, so one that is called `version` is data like any other. */
const VERSION = 'subscription_sync.version';

/** Number of slots of a partition in `applied_lately`: a change is kept until another one takes its slot, or it is looked up. */
const SLOTS = 1_024;
/** Maximum number of changes of a batch that are sampled, apart from the lowest and highest version. A change that is applied alone always is. */
const MAX_SAMPLED = 30;

const FIRST_RECORD_TIME = 'to_timestamp($9::float8 / 1000)';
const SKIPPED = '$8::bigint > p."offset" + 1';
const RECREATED = `$8::bigint <= p."offset" AND ${FIRST_RECORD_TIME} > p.record_time`;
const LATE = `excluded."offset" <= p."offset" AND ${FIRST_RECORD_TIME} <= p.record_time`;

/**
 * Stores the position, and counts gaps in front of it. A batch begins where the last one ended; or it was delivered before, and its
 * first record is not newer than the last one applied. Anything else is a continuity gap: offsets were skipped (Kafka no longer has
 * them, or DB2 is older than the offset committed to Kafka), or the topic was created again. `missing_from` is the first offset that was
 * skipped since gaps were last cleared, or -1 for a topic that was created again. libs/reconciliation deals with gaps. A late batch of a
 * zombie (a worker that no longer owns the partition) leaves the position as it is.
 *
 * The highest version, and a sample of all, are what libs/reconciliation looks up in DB1's log.
 */
const STORE_POSITION = `, position AS (
  INSERT INTO subscription_sync.positions AS p
    (topic, partition, "offset", version, version_time, record_time, breaks, missing_from)
  VALUES ($3, $4, $5, $6, $7, to_timestamp($10::float8 / 1000), ($8::bigint > 0)::int, CASE WHEN $8::bigint > 0 THEN 0 END)
  ON CONFLICT (topic, partition) DO UPDATE SET
    version = greatest(p.version, excluded.version),
    version_time = CASE WHEN excluded.version > p.version THEN excluded.version_time ELSE p.version_time END,
    "offset" = CASE WHEN ${LATE} THEN p."offset" ELSE excluded."offset" END,
    record_time = CASE WHEN ${LATE} THEN p.record_time ELSE excluded.record_time END,
    breaks = p.breaks + (${SKIPPED} OR (${RECREATED}))::int,
    missing_from = coalesce(p.missing_from, CASE WHEN ${SKIPPED} THEN p."offset" + 1 WHEN ${RECREATED} THEN -1 END),
    applied_at = clock_timestamp()
), sample AS (
  INSERT INTO subscription_sync.applied_lately (topic, partition, slot, email, version)
  SELECT $3, $4, version % ${SLOTS}, email, version FROM json_to_recordset($11::json) AS s (email text, version bigint)
  ON CONFLICT (topic, partition, slot) DO UPDATE SET email = excluded.email, version = excluded.version
)`;

/**
 * Builds the statement that applies a batch in one round trip and one transaction. The statement returns for how many emails its version was
 * newer; the guard dropped the others.
 *
 * - $1: a JSON array of rows, at most one per email, as text (see {@link rowsOf}). PostgreSQL reads the values from the text, so no
 *   number or microsecond passes through JavaScript. Passing the rows alone, not their events, halves the statement's time. $2: the deletions,
 *   a JSON array of email, version and deleted_at.
 * - `passed` is guard and lock at once: it writes the versions to `applied` and returns the emails whose version was lower. ON CONFLICT
 *   waits for other transactions that apply the same email and compares with what they have committed; then the email is locked until this
 *   transaction ends. The table is written only after that, and only for these emails. Emails are locked in their order, so two
 *   appliers cannot deadlock.
 * - The statement's snapshot is older than the locks, so the writes to the table must not depend on it. A row that another applier has
 *   inserted meanwhile is missed by UPDATE, but not by ON CONFLICT, which looks into the index; one that it has deleted meanwhile is skipped
 *   by UPDATE and inserted again. A DELETE would miss such a row, so deletions run in a function, whose statements have a new snapshot.
 *   ADR 25 has the other options, with their times.
 * - UPDATE comes first because an insert alone would draw a number for DB2's own columns, fire triggers for inserts, and need a value for
 *   every NOT NULL column, even where the row exists.
 * - The columns written are those that both the events' image and DB2's table have: a column added to both databases travels without
 *   a release. A column that only DB2 has keeps its value until the row is deleted, and DB2 fills the columns that it generates or numbers.
 * - With `position`, the partition's position is stored in the same transaction: $3 topic, $4 partition, $5 offset of the last record,
 *   $6 highest version and $7 the time of its change, $8 offset and $9 timestamp (ms) of the first record, $10 timestamp (ms) of the
 *   last, $11 a sample of the changes (see {@link sampleOf}). Without it, $1 and $2 are the only parameters.
 *
 * `image`: the columns of the events' image; every column of DB2 if undefined.
 */
export function buildApplyStatement(columns: readonly ReplicaColumn[], image: ReadonlySet<string> | undefined, position: boolean): string {
  const taken = columns
    .filter(({ name, generated }) => !generated && name !== 'email' && (image?.has(name) ?? true))
    .map(({ name, type }) => ({ name: escapeIdentifier(name), type }));
  const names = taken.map(({ name }) => name);
  // A row without any column of DB2's sets nothing.
  const setFrom = (row: string): string => names.map((name) => `${name} = ${row}.${name}`).join(', ') || 'email = t.email';
  const key = (email: string): string => `${email}::${columns.find(({ name }) => name === 'email')!.typeOfAnyLength}`;
  return `
WITH incoming AS MATERIALIZED (
  SELECT * FROM json_to_recordset($1::json) AS r (${['email text', `"${VERSION}" bigint`, ...taken.map(({ name, type }) => `${name} ${type}`)].join(', ')})
), passed AS (
  INSERT INTO subscription_sync.applied AS known (email, version, deleted_at)
  SELECT email COLLATE "C", "${VERSION}", NULL::timestamptz FROM incoming
  UNION ALL
  SELECT email, version, deleted_at FROM json_to_recordset($2::json) AS d (email text COLLATE "C", version bigint, deleted_at timestamptz)
  ORDER BY 1
  ON CONFLICT (email) DO UPDATE SET version = excluded.version, deleted_at = excluded.deleted_at
  WHERE known.version < excluded.version
  RETURNING email, deleted_at
), live AS MATERIALIZED (
  SELECT * FROM incoming WHERE ${isAmong('passed')} IS TRUE
), updated AS (
  UPDATE subscriptions AS t SET ${setFrom('live')} FROM live WHERE t.email = ${key('live.email')} RETURNING live.email
), inserted AS (
  INSERT INTO subscriptions AS t (${['email', ...names].join(', ')})
  SELECT ${['email', ...names].join(', ')} FROM live WHERE ${isAmong('updated')} IS NOT TRUE
  ON CONFLICT (email) DO UPDATE SET ${setFrom('excluded')}
)${position ? STORE_POSITION : ''}
SELECT (SELECT count(*) FROM passed)::int AS applied, (
  SELECT subscription_sync.delete_subscriptions(array_agg(${key('(email COLLATE "default")')}))
  FROM passed WHERE deleted_at IS NOT NULL HAVING count(*) > 0
) AS deletions`;
}

/**
 * Returns a condition on `email` that PostgreSQL tests against a hash of the emails of `source`. As a join, it might compare each row with
 * each other one: the planner cannot know how many rows there are. It is no join as long as it is not a condition by itself.
 */
function isAmong(source: string): string {
  return `(email IN (SELECT email FROM ${source}))`;
}

/** Returns the first parameters of the statement for events of different emails. */
export function rowsOf(events: readonly ReceivedEvent[]): [rows: string, deletions: string] {
  const [rows, deletions]: [string[], object[]] = [[], []];
  for (const { operation, email, version, time, image } of events) {
    if (operation === 'deleted') deletions.push({ email, version, deleted_at: time });
    else rows.push(`${image.slice(0, -1)},"${VERSION}":${version}}`);
  }
  return [`[${rows.join(',')}]`, JSON.stringify(deletions)];
}

/**
 * Returns a sample of the changes of a batch as a JSON array, at most one for each slot: the lowest version and the highest, and others at
 * regular distances.
 */
export function sampleOf(events: readonly ReceivedEvent[]): string {
  const [lowest, highest] = [-1, 1].map((sign) =>
    events.reduce<ReceivedEvent | undefined>((a, b) => (a && (a.version - b.version) * sign > 0 ? a : b), undefined),
  );
  const distance = Math.ceil(events.length / MAX_SAMPLED);
  const sampled = [...events.filter((_, i) => i % distance === 0), lowest, highest].filter((event) => event !== undefined);
  const bySlot = new Map(sampled.map(({ email, version }) => [version % SLOTS, { email, version }]));
  return JSON.stringify([...bySlot.values()]);
}

/** Returns the SQL expression of a row for the statement; `image` is the expression of its JSON text, `version` that of its version. */
export function rowExpression(image: string, version: string): string {
  return `left(${image}, -1) || ',"${VERSION}":' || ${version} || '}'`;
}

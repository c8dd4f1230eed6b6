import { escapeIdentifier } from 'pg';
import type { ReceivedEvent } from '#events';
import { asKey, ENTER_ROLE_PATH, hasKey, type SubscriptionTable } from '#postgres';
import type { ReplicatedColumn } from './replicated-columns.js';

/**
 * Members of a row's JSON that hold its key and its version. No column has these names, so one that is called `version` is data like any
 * other.
 */
const KEY = 'subscription_sync.key';
const VERSION = 'subscription_sync.version';

/** Number of slots of a partition in `applied_lately`: a change is kept until another one takes its slot, or it is looked up. */
const SLOTS = 1_024;

/** Returns the slot of a change. */
export function slotOf(version: number): number {
  return version % SLOTS;
}

/** Maximum number of changes of a batch that are sampled, apart from the lowest and highest version. A change that is applied alone always is. */
const MAX_SAMPLED = 30;

/**
 * Stores the position of each partition, and counts gaps in front of it. A batch begins where the last one ended; or it was delivered before,
 * and its first record is not newer than the last one applied. Anything else is a continuity gap: offsets were skipped (Kafka no longer has
 * them, or DB2 is older than the offset committed to Kafka), or the topic was created again. `missing_from` is the first offset that was
 * skipped since gaps were last cleared, or -1 for a topic that was created again. libs/reconciliation deals with gaps. A late batch of a
 * zombie (a worker that no longer owns the partition) leaves the position as it is.
 *
 * The highest version, and a sample of all, are what libs/reconciliation looks up in DB1's log.
 */
const STORE_POSITIONS = `, batches AS MATERIALIZED (
  SELECT partition, "offset", version, version_time, first, to_timestamp(first_ms / 1000) AS first_time, to_timestamp(last_ms / 1000) AS last_time
  FROM json_to_recordset($4::json) AS b
    (partition integer, "offset" bigint, version bigint, version_time timestamptz, first bigint, first_ms float8, last_ms float8)
), position AS (
  INSERT INTO subscription_sync.positions AS p
    (topic, partition, "offset", version, version_time, record_time, breaks, missing_from)
  SELECT $3, partition, "offset", version, version_time, last_time, (first > 0)::int, CASE WHEN first > 0 THEN 0 END
  FROM batches ORDER BY partition
  ON CONFLICT (topic, partition) DO UPDATE SET
    (version, version_time, "offset", record_time, breaks, missing_from, applied_at) = (
      SELECT greatest(p.version, b.version), CASE WHEN b.version > p.version THEN b.version_time ELSE p.version_time END,
        CASE WHEN is_late THEN p."offset" ELSE b."offset" END, CASE WHEN is_late THEN p.record_time ELSE b.last_time END,
        p.breaks + (is_skipping OR is_recreated)::int,
        coalesce(p.missing_from, CASE WHEN is_skipping THEN p."offset" + 1 WHEN is_recreated THEN -1 END), clock_timestamp()
      FROM batches b, LATERAL (SELECT b.first > p."offset" + 1 AS is_skipping,
        b.first <= p."offset" AND b.first_time > p.record_time AS is_recreated,
        b."offset" <= p."offset" AND b.first_time <= p.record_time AS is_late) c
      WHERE b.partition = p.partition
    )
), sample AS (
  INSERT INTO subscription_sync.applied_lately (topic, partition, slot, email, version)
  SELECT $3, partition, version % ${SLOTS}, email, version
  FROM json_to_recordset($5::json) AS s (partition integer, email text, version bigint) ORDER BY 2, 3
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
 * - The table may have the email in another spelling than the key. `applied` knows it, because a change of the spelling has to find the row:
 *   `renamed` is the spelling before that change.
 * - `entered` changes the search_path for the table's own triggers, before the first row is written and until the transaction ends.
 * - A column that only DB2 has keeps its value until the row is deleted, and DB2 fills the columns that it generates or numbers.
 * - With `positions`, the partitions' positions are stored in the same transaction: $3 topic, $4 positions (see {@link positionOf}), $5 a
 *   sample of the changes (see {@link sampleOf}), and $6 the time (ms) to wait for a lock, or null for the session's. Without it, $1 and $2
 *   are the only parameters.
 */
export function buildApplyStatement(table: SubscriptionTable, columns: readonly ReplicatedColumn[], positions: boolean): string {
  const key = columns.find(({ db2 }) => db2 === table.keyColumn)!;
  const taken = columns
    .filter((column) => column !== key)
    .map(({ db1, db2 }) => {
      return { member: escapeIdentifier(db1), name: escapeIdentifier(db2.name) };
    });
  const names = taken.map(({ name }) => name);
  const setFrom = (row: string): string => [table.key, ...names].map((name) => `${name} = ${row}.${name}`).join(', ');
  // A row that is in the way gets everything but the key.
  const setBusiness = names.map((name) => `${name} = excluded.${name}`).join(', ') || `${table.key} = excluded.${table.key}`;
  const spelling = `nullif(${escapeIdentifier(key.db1)}, "${KEY}")`;
  return `
WITH entered AS MATERIALIZED (SELECT ${ENTER_ROLE_PATH} AS path), patience AS MATERIALIZED (
  SELECT ${positions ? `CASE WHEN $6::text IS NULL THEN '' ELSE set_config('lock_timeout', $6, true) END` : `''`} AS lock_timeout
), incoming AS MATERIALIZED (
  SELECT "${KEY}" AS "subscription_sync.email", "${VERSION}" AS "subscription_sync.applied", ${spelling} AS "subscription_sync.written",
    ${[`${asKey(table, escapeIdentifier(key.db1))} AS ${table.key}`, ...taken.map(({ member, name }) => `${member} AS ${name}`)].join(', ')}
  FROM ${recordsOf(table, columns)} WHERE (SELECT lock_timeout FROM patience) IS NOT NULL
), passed AS (
  INSERT INTO subscription_sync.applied AS known (email, version, deleted_at, written)
  SELECT "subscription_sync.email" COLLATE "C", "subscription_sync.applied", NULL::timestamptz, "subscription_sync.written" FROM incoming
  UNION ALL
  SELECT email, version, deleted_at, nullif(written, email)
  FROM json_to_recordset($2::json) AS d (email text COLLATE "C", version bigint, deleted_at timestamptz, written text)
  WHERE (SELECT lock_timeout FROM patience) IS NOT NULL
  ORDER BY 1
  ON CONFLICT (email) DO UPDATE SET version = excluded.version, deleted_at = excluded.deleted_at, written = excluded.written,
    renamed = CASE WHEN known.written IS DISTINCT FROM excluded.written THEN coalesce(known.written, known.email) END
  WHERE known.version < excluded.version
  RETURNING email, deleted_at, written, renamed
), live AS MATERIALIZED (
  SELECT *, ${asKey(table, `coalesce((SELECT jsonb_object_agg(email, renamed) FROM passed WHERE renamed IS NOT NULL)->>"subscription_sync.email", "subscription_sync.written", "subscription_sync.email")`)} AS "subscription_sync.present"
  FROM incoming WHERE ${isAmong('"subscription_sync.email"', 'passed', 'email')} IS TRUE AND (SELECT path FROM entered) IS NOT NULL
), updated AS (
  UPDATE ${table.sql} AS t SET ${setFrom('live')} FROM live WHERE ${hasKey(table, 't', 'live."subscription_sync.present"')} RETURNING live."subscription_sync.email"
), inserted AS (
  INSERT INTO ${table.sql} AS t (${[table.key, ...names].join(', ')})
  SELECT ${[table.key, ...names].join(', ')} FROM live WHERE ${isAmong('"subscription_sync.email"', 'updated', '"subscription_sync.email"')} IS NOT TRUE
  ON CONFLICT (${table.key}) DO UPDATE SET ${setBusiness}
)${positions ? STORE_POSITIONS : ''}
SELECT (SELECT count(*) FROM passed)::int AS applied, (
  SELECT subscription_sync.delete_rows(array_agg(${asKey(table, 'spelling')}))
  FROM passed, LATERAL (VALUES (coalesce(written, email)), (renamed)) s(spelling)
  WHERE deleted_at IS NOT NULL AND spelling IS NOT NULL HAVING count(*) > 0
) AS deletions, (SELECT path FROM entered) AS path`;
}

/** Returns the FROM item that reads the rows of $1: each value by its type's own function, as DB2's column has it. */
function recordsOf(table: SubscriptionTable, columns: readonly ReplicatedColumn[]): string {
  const members = columns.map(({ db1, db2 }) => `${escapeIdentifier(db1)} ${db2 === table.keyColumn ? 'text' : db2.type}`);
  return `json_to_recordset($1::json) AS r ("${KEY}" text, "${VERSION}" bigint, ${members.join(', ')})`;
}

/** Builds the statement that reads the values of rows ($1, see {@link rowsOf}) and does nothing else. */
export function buildReadStatement(table: SubscriptionTable, columns: readonly ReplicatedColumn[]): string {
  return `SELECT count(*) FROM ${recordsOf(table, columns)}`;
}

/**
 * Returns a condition that PostgreSQL tests against a hash of the emails of `source`. As a join, it might compare each row with each other one:
 * the planner cannot know how many rows there are. It is no join as long as it is not a condition by itself.
 */
function isAmong(email: string, source: string, column: string): string {
  return `(${email} IN (SELECT ${column} FROM ${source}))`;
}

/** Returns the first parameters of the statement for events of different emails. */
export function rowsOf(events: readonly ReceivedEvent[]): [rows: string, deletions: string] {
  const [rows, deletions]: [string[], object[]] = [[], []];
  for (const { operation, email, written, version, time, image } of events) {
    if (operation === 'deleted') deletions.push({ email, version, deleted_at: time, written });
    else rows.push(`${image.slice(0, -1)},"${KEY}":${JSON.stringify(email)},"${VERSION}":${version}}`);
  }
  return [`[${rows.join(',')}]`, JSON.stringify(deletions)];
}

/**
 * Returns a sample of the changes of a partition's batch, at most one for each slot: the lowest version and the highest, and others at regular
 * distances.
 */
export function sampleOf(partition: number, events: readonly ReceivedEvent[]): object[] {
  const [lowest, highest] = [-1, 1].map((sign) =>
    events.reduce<ReceivedEvent | undefined>((a, b) => (a && (a.version - b.version) * sign > 0 ? a : b), undefined),
  );
  const distance = Math.ceil(events.length / MAX_SAMPLED);
  const sampled = [...events.filter((_, i) => i % distance === 0), lowest, highest].filter((event) => event !== undefined);
  return [...new Map(sampled.map(({ email, version }) => [slotOf(version), { partition, email, version }])).values()];
}

/** Returns the SQL expression of a row for the statement, from those of its JSON text, its key and its version. */
export function rowExpression(image: string, key: string, version: string): string {
  return `left(${image}, -1) || ',"${KEY}":' || to_json(${key}) || ',"${VERSION}":' || ${version} || '}'`;
}

import { escapeIdentifier } from 'pg';
import type { ReceivedEvent } from '#events';

/** A column of DB2's guarded table, `replicated_subscriptions`. */
export interface ReplicaColumn {
  readonly name: string;
  /** Type as PostgreSQL prints it, with its length. */
  readonly type: string;
  /** pg_type.typcategory. */
  readonly category: string;
  readonly builtin: boolean;
  readonly nullable: boolean;
  /** DB2 generates or numbers the values itself. */
  readonly generated: boolean;
}

/** Columns that the statement fills itself; they are not part of the row's image. */
const OWN_COLUMNS = new Set(['email', 'version', 'tombstoned_at']);

export const SELECT_REPLICA_COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, t.typcategory AS category,
  t.typnamespace = 'pg_catalog'::regnamespace AS builtin, NOT a.attnotnull AS nullable,
  a.attgenerated <> '' OR a.attidentity <> ''
    OR coalesce(pg_get_expr(d.adbin, d.adrelid), '') ~ '^(nextval|gen_random_uuid|uuid_generate|uuidv)' AS "generated"
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'replicated_subscriptions'::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

const FIRST_RECORD_TIME = 'to_timestamp($8::float8 / 1000)';
const SKIPPED = '$7::bigint > p."offset" + 1';
const RECREATED = `$7::bigint <= p."offset" AND ${FIRST_RECORD_TIME} > p.record_time`;
const LATE = `excluded."offset" <= p."offset" AND ${FIRST_RECORD_TIME} <= p.record_time`;

/**
 * Stores the position, and counts gaps in front of it. A batch begins where the last one ended; or it was delivered before, and its
 * first record is not newer than the last one applied. Anything else is a continuity gap: offsets were skipped (Kafka no longer has
 * them, or DB2 is older than the offset committed to Kafka), or the topic was created again. `missing_from` is the first offset that was
 * skipped since gaps were last cleared, or -1 for a topic that was created again. libs/reconciliation deals with gaps. A late batch of a
 * zombie (a worker that no longer owns the partition) leaves the position as it is.
 */
const STORE_POSITION = `, position AS (
  INSERT INTO subscription_sync.positions AS p (topic, partition, "offset", version, version_time, record_time, breaks, missing_from)
  VALUES ($2, $3, $4, $5, $6, to_timestamp($9::float8 / 1000), ($7::bigint > 0)::int, CASE WHEN $7::bigint > 0 THEN 0 END)
  ON CONFLICT (topic, partition) DO UPDATE SET
    version = greatest(p.version, excluded.version),
    version_time = CASE WHEN excluded.version > p.version THEN excluded.version_time ELSE p.version_time END,
    "offset" = CASE WHEN ${LATE} THEN p."offset" ELSE excluded."offset" END,
    record_time = CASE WHEN ${LATE} THEN p.record_time ELSE excluded.record_time END,
    breaks = p.breaks + (${SKIPPED} OR (${RECREATED}))::int,
    missing_from = coalesce(p.missing_from, CASE WHEN ${SKIPPED} THEN p."offset" + 1 WHEN ${RECREATED} THEN -1 END),
    applied_at = clock_timestamp()
)`;

/**
 * Builds the statement that applies a batch in one round trip and one transaction. The statement returns how many rows were written;
 * the guard dropped the others.
 *
 * - $1: a JSON array of rows, at most one per email, as text (see {@link rowOf}). PostgreSQL reads the values from the text, so no
 *   number or microsecond passes through JavaScript. Passing the rows alone, not their events, halves the statement's time.
 * - The columns written are those that both the events' image and DB2's table have: a column added to both databases travels without
 *   a release. A column that only DB2 has keeps its value until the row is deleted: a tombstone keeps nothing of the row.
 * - The guard `live.version < excluded.version` holds under concurrency, because ON CONFLICT locks the row: two workers on one
 *   partition do no harm. Deletions are upserts of a tombstone, so they are guarded in the same way and cannot be overtaken.
 * - Rows are written in the order of their emails, so two transactions cannot deadlock on each other's rows.
 * - With `position`, the partition's position is stored in the same transaction: $2 topic, $3 partition, $4 offset of the last record,
 *   $5 highest version and $6 the time of its change, $7 offset and $8 timestamp (ms) of the first record, $9 timestamp (ms) of the
 *   last. Without it, $1 is the only parameter.
 */
export function buildApplyStatement(columns: readonly ReplicaColumn[], image: ReadonlySet<string>, position: boolean): string {
  const business = columns.filter(({ name, generated }) => !generated && !OWN_COLUMNS.has(name));
  const taken = business.filter(({ name }) => image.has(name)).map(({ name }) => escapeIdentifier(name));
  const kept = business.filter(({ name, nullable }) => !image.has(name) && nullable).map(({ name }) => escapeIdentifier(name));
  const set = [
    ...taken.map((column) => `${column} = excluded.${column}`),
    ...kept.map((column) => `${column} = CASE WHEN excluded.tombstoned_at IS NULL THEN live.${column} END`),
  ];
  return `
WITH applied AS (
  INSERT INTO replicated_subscriptions AS live (${['email', 'version', 'tombstoned_at', ...taken].join(', ')})
  SELECT ${['email', 'version', 'tombstoned_at', ...taken.map((column) => `CASE WHEN tombstoned_at IS NULL THEN ${column} END`)].join(', ')}
  FROM json_populate_recordset(NULL::replicated_subscriptions, $1::json)
  ORDER BY email
  ON CONFLICT (email) DO UPDATE SET ${['version = excluded.version', 'tombstoned_at = excluded.tombstoned_at', ...set].join(', ')}
  WHERE live.version < excluded.version
  RETURNING 1
)${position ? STORE_POSITION : ''}
SELECT count(*)::int AS applied FROM applied`;
}

/** Returns the row that an event results in, as JSON: its image, or a tombstone. */
export function rowOf(event: ReceivedEvent): string {
  if (event.operation !== 'deleted') return event.image;
  return `{"email":${JSON.stringify(event.email)},"version":${event.version},"tombstoned_at":${JSON.stringify(event.time)}}`;
}

/** Columns of the guarded table that are its own business, not the row's. */
const OWN_COLUMNS = new Set(['email', 'version', 'deleted_at']);

export const SELECT_REPLICA_COLUMNS = `
SELECT attname AS name FROM pg_attribute
WHERE attrelid = 'replicated_subscriptions'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
ORDER BY attnum`;

/**
 * The statement that applies a batch: one round trip, one transaction.
 *
 * - $1: a JSON array of events, at most one per email, as they came: PostgreSQL reads values from the text, so that no number
 *   or microsecond passes through JavaScript. Which columns are taken is what DB2's table has: one that is added to both
 *   databases travels without a release.
 * - The guard `live.version < excluded.version` holds under concurrency, because ON CONFLICT locks the row: two workers on one
 *   partition do no harm. Deletions are upserts of a tombstone, so they are guarded alike and can't be overtaken.
 * - Rows are taken in the order of their emails: two transactions can't deadlock on each other's rows.
 * - The partition's position is stored in the same transaction: $2 topic, $3 partition, $4 offset, $5 highest version.
 *
 * Returns how many rows were written; the others were guarded away.
 */
export function buildApplyStatement(columns: readonly string[]): string {
  const business = columns.filter((column) => !OWN_COLUMNS.has(column)).map(quote);
  return `
WITH events AS MATERIALIZED (
  SELECT e.event->>'type' = 'subscription.deleted' AS event_deletes, (e.event->>'time')::timestamptz AS event_time, image.*
  FROM json_array_elements($1::json) AS e(event),
       json_populate_record(NULL::replicated_subscriptions, e.event->'data'->'subscription') AS image
), applied AS (
  INSERT INTO replicated_subscriptions AS live (email, version, deleted_at, ${business.join(', ')})
  SELECT email, version, CASE WHEN event_deletes THEN event_time END,
    ${business.map((column) => `CASE WHEN NOT event_deletes THEN ${column} END`).join(', ')}
  FROM events
  ORDER BY email
  ON CONFLICT (email) DO UPDATE SET version = excluded.version, deleted_at = excluded.deleted_at,
    ${business.map((column) => `${column} = excluded.${column}`).join(', ')}
  WHERE live.version < excluded.version
  RETURNING 1
), position AS (
  INSERT INTO replica_positions AS p (topic, partition, "offset", version)
  VALUES ($2, $3, $4, $5)
  ON CONFLICT (topic, partition) DO UPDATE
    SET "offset" = excluded."offset", version = greatest(p.version, excluded.version), applied_at = clock_timestamp()
)
SELECT count(*)::int AS applied FROM applied`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

import type { DataSource } from 'typeorm';
import { asKey, type Database, hasKey, type SubscriptionTable } from '#postgres';
import { slotOf } from './apply-statement.js';

/** Queries of what is applied to DB2, for other libraries, none of which names these tables. */

/** How far DB2 has applied one partition of a topic. */
export interface AppliedPosition {
  readonly partition: number;
  /** Offset of the last record that was applied. */
  readonly offset: number;
  /** The highest version, and when its change was made (RFC 3339; null if unknown). */
  readonly version: number;
  readonly version_time: string | null;
  /** Number of continuity gaps counted in this partition (apply-statement.ts). */
  readonly breaks: number;
  /** The first offset that was skipped; -1 for a topic that was created again, null without a gap. */
  readonly missing_from: number | null;
}

/** Returns the positions of those partitions of a topic of which DB2 has applied anything. */
export async function appliedPositions(db2: DataSource, topic: string): Promise<AppliedPosition[]> {
  return db2.query<AppliedPosition[]>(
    `SELECT partition, "offset", version, to_json(version_time) #>> '{}' AS version_time, breaks, missing_from FROM subscription_sync.positions WHERE topic = $1`,
    [topic],
  );
}

/** Corrects a stored position where it is still as it was read. */
export interface PositionCorrection {
  readonly partition: number;
  /** Number of gaps that are dealt with. */
  readonly breaks: number;
  readonly offset: number;
  readonly correctedOffset: number;
}

/** Corrects positions of a topic in one transaction. Gaps that were counted after the read, and positions that have advanced since, stay. */
export async function correctPositions(db2: DataSource, topic: string, corrections: readonly PositionCorrection[]): Promise<void> {
  await db2.transaction(async (manager) => {
    for (const { partition, breaks, offset, correctedOffset } of corrections) {
      await manager.query(
        `UPDATE subscription_sync.positions SET breaks = greatest(breaks - $3, 0), missing_from = CASE WHEN breaks > $3 THEN missing_from END,
           "offset" = CASE WHEN "offset" = $4 THEN $5 ELSE "offset" END
         WHERE topic = $1 AND partition = $2`,
        [topic, partition, breaks, offset, correctedOffset],
      );
    }
  });
}

/** A change of DB1's log, by its version and its time (as PostgreSQL prints it). */
export interface ChangeId {
  readonly version: number;
  readonly version_time: string | null;
}

/** Replaces the highest versions of partitions where they are still those that were read. */
export async function replaceHighest(
  db2: DataSource,
  topic: string,
  highest: readonly { readonly partition: number; readonly version: number }[],
  { version, version_time }: ChangeId,
): Promise<void> {
  await db2.query(
    `UPDATE subscription_sync.positions p SET version = $3, version_time = $4
     FROM json_to_recordset($2) AS r(partition integer, version bigint)
     WHERE p.topic = $1 AND p.partition = r.partition AND p.version = r.version`,
    [topic, JSON.stringify(highest), version, version_time],
  );
}

/** A change that was applied lately. */
export interface AppliedLately {
  readonly partition: number;
  readonly email: string;
  readonly version: number;
}

/** Returns a sample of the changes that were applied since {@link forgetLately}: all of them, unless there were very many. */
export async function appliedLately(db2: DataSource, topic: string): Promise<AppliedLately[]> {
  return db2.query<AppliedLately[]>('SELECT partition, email, version FROM subscription_sync.applied_lately WHERE topic = $1', [topic]);
}

/** Maximum number of changes that one statement of {@link forgetLately} removes. A batch that replaces one of them waits for the statement. */
const FORGOTTEN_AT_ONCE = 256;

/**
 * $1: the topic; $2: changes. Each is looked up in its slot. As a join, the planner may compare each change with each row, because it expects few of
 * both: 6,000 changes took 860 ms, in which batches waited.
 */
export const FORGET_CHANGES = `
WITH known AS MATERIALIZED (
  SELECT l.* FROM json_to_recordset($2) AS r(partition integer, slot integer, version bigint) CROSS JOIN LATERAL (
    SELECT topic, partition, slot FROM subscription_sync.applied_lately
    WHERE (topic, partition, slot, version) = ($1, r.partition, r.slot, r.version)
    FOR UPDATE SKIP LOCKED
  ) l
)
DELETE FROM subscription_sync.applied_lately l USING known k WHERE (l.topic, l.partition, l.slot) = (k.topic, k.partition, k.slot)`;

/**
 * Removes changes from the sample. Those that a batch is replacing are left for the next call: to wait for one partition while another one waits for
 * this statement would be a deadlock as soon as the batches of both did.
 */
export async function forgetLately(
  db2: DataSource,
  topic: string,
  changes: readonly { readonly partition: number; readonly version: number }[],
): Promise<void> {
  const places = changes.map(({ partition, version }) => ({ partition, slot: slotOf(version), version }));
  for (let from = 0; from < places.length; from += FORGOTTEN_AT_ONCE) {
    await db2.query(FORGET_CHANGES, [topic, JSON.stringify(places.slice(from, from + FORGOTTEN_AT_ONCE))]);
  }
}

/** Returns the newest change that the capture is known to have read from DB1; undefined if none is known. */
export async function capturedChange(db2: DataSource, topic: string): Promise<ChangeId | undefined> {
  const [captured] = await db2.query<ChangeId[]>(
    `SELECT version, to_json(occurred_at) #>> '{}' AS version_time FROM subscription_sync.captured WHERE topic = $1`,
    [topic],
  );
  return captured;
}

/** Stores a change that the capture has read from DB1, unless a newer one is stored. */
export async function storeCapturedChange(db2: DataSource, topic: string, { version, version_time }: ChangeId): Promise<void> {
  await db2.query(
    `INSERT INTO subscription_sync.captured AS c (topic, version, occurred_at) VALUES ($1, $2, $3)
     ON CONFLICT (topic) DO UPDATE SET version = excluded.version, occurred_at = excluded.occurred_at WHERE c.version < excluded.version`,
    [topic, version, version_time],
  );
}

/** Forgets the captured change if it is still the one of that version. */
export async function forgetCapturedChange(db2: DataSource, topic: string, version: number): Promise<void> {
  await db2.query('DELETE FROM subscription_sync.captured WHERE topic = $1 AND version = $2', [topic, version]);
}

/** Maximum number of emails of `applied` that one statement looks at. */
const APPLIED_CHUNK = 50_000;

const APPLIED_ABOVE = `
WITH chunk AS MATERIALIZED (
  SELECT email, version FROM subscription_sync.applied
  WHERE email > $1 AND ($2::text IS NULL OR email <= $2) ORDER BY email LIMIT ${APPLIED_CHUNK}
)
SELECT max(email) AS last, coalesce(array_agg(email) FILTER (WHERE version > $3), '{}') AS emails FROM chunk`;

/**
 * Yields the emails with `after` < email <= `until` (null: to the end) whose applied version is above `version()`, in chunks that may be
 * empty.
 */
export async function* appliedAbove(
  db2: DataSource,
  after: string,
  until: string | null,
  version: () => Promise<number>,
): AsyncGenerator<string[]> {
  for (let from: string | null = after; ;) {
    const [{ last, emails }]: [{ last: string | null; emails: string[] }] = await db2.query(APPLIED_ABOVE, [from, until, await version()]);
    if (last === null) return;
    yield emails;
    from = last;
  }
}

/** A version of an email that is taken back. */
export interface VersionReset {
  readonly email: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Lowers the applied versions of emails where they are still `from`: the guard lets changes above `to` pass from then on. Emails are locked
 * in their order, as the replica does.
 */
export async function resetVersions(db2: DataSource, resets: readonly VersionReset[]): Promise<void> {
  if (resets.length === 0) return;
  await db2.query(
    `WITH reset AS MATERIALIZED (
       SELECT a.email, r."to" FROM json_to_recordset($1) AS r(email text, "from" bigint, "to" bigint)
       JOIN subscription_sync.applied a ON a.email = r.email AND a.version = r."from" ORDER BY a.email FOR UPDATE OF a
     )
     UPDATE subscription_sync.applied a SET version = reset."to" FROM reset WHERE a.email = reset.email`,
    [JSON.stringify(resets)],
  );
}

/** Whether no change has been applied to DB2. */
export async function isReplicaEmpty(db2: DataSource): Promise<boolean> {
  const [found] = await db2.query<[{ empty: boolean }]>(
    'SELECT NOT EXISTS (SELECT FROM subscription_sync.applied WHERE version > 0) AS empty',
  );
  return found.empty;
}

/** Returns the version of an email in DB2, whether its row is there or deleted; 0 when there is none. */
export async function appliedVersion(db2: Database, email: string): Promise<number> {
  const [row] = await db2.query<{ version: number }>('SELECT version FROM subscription_sync.applied WHERE email = $1', [email]);
  return row?.version ?? 0;
}

/** State of an email in DB2. */
interface ReplicaState {
  readonly email: string;
  /** Version of the last change that was applied; 0 for a row that DB2 has from elsewhere. */
  readonly version: number;
  /** Value of an expression of the row; null when there is no row. A program may have deleted a row that was applied. */
  readonly value: string | null;
}

/** A key, and the email as DB1's row has it, or as a row was found under. */
export interface KeySpelling {
  readonly email: string;
  readonly written: string;
}

/**
 * Reads the state of keys; one that DB2 does not know is omitted. `expression` is a SQL expression of the row `s`. A row that was never
 * applied is looked for under the spelling `written`, which is remembered with version 0: that changes nothing for the guard.
 */
export async function readReplicaStates(
  db2: DataSource,
  table: SubscriptionTable,
  expression: string,
  keys: readonly KeySpelling[],
): Promise<ReplicaState[]> {
  const { sql, key } = table;
  const parameters = [keys.map(({ email }) => email), keys.map(({ written }) => written)];
  if (keys.some(({ email, written }) => email !== written)) {
    await db2.query(
      `INSERT INTO subscription_sync.applied (email, version, written)
       SELECT e.email COLLATE "C", 0, e.written FROM unnest($1::text[], $2::text[]) e(email, written)
       WHERE e.email <> e.written AND EXISTS (SELECT FROM ${sql} s WHERE ${hasKey(table, 's', asKey(table, 'e.written'))})
         AND NOT EXISTS (SELECT FROM subscription_sync.applied a WHERE a.email = e.email)
       ORDER BY 1 ON CONFLICT DO NOTHING`,
      parameters,
    );
  }
  return db2.query<ReplicaState[]>(
    `SELECT e.email, coalesce(a.version, 0) AS version, CASE WHEN s.${key} IS NOT NULL THEN ${expression} END AS value
     FROM unnest($1::text[], $2::text[]) e(email, written)
     LEFT JOIN subscription_sync.applied a ON a.email = e.email
     LEFT JOIN ${sql} s ON ${hasKey(table, 's', asKey(table, 'coalesce(CASE WHEN a.deleted_at IS NULL THEN coalesce(a.written, a.email) END, e.written)'))}
     WHERE a.email IS NOT NULL OR s.${key} IS NOT NULL`,
    parameters,
  );
}

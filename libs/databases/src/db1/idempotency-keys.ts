import type { DataSource } from 'typeorm';

/** Rows that one statement of {@link forgetIdempotencyKeys} deletes: short, so that nobody waits for it. */
const CHUNK = 5_000;

/** What requests with an `Idempotency-Key` did, for 24 hours. `principal` is who made them: keys of different callers never meet. */
export const CREATE_IDEMPOTENCY_KEYS = `
CREATE TABLE idempotency_keys (
  principal   text        NOT NULL,
  key         text        NOT NULL,
  fingerprint text        NOT NULL,
  outcome     text        NOT NULL,
  version     bigint      NOT NULL,
  body        text,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)`;

/** Deletes the keys that are older than 24 hours. Any number of processes may do so at once. @returns how many. */
export async function forgetIdempotencyKeys(db1: DataSource, signal: AbortSignal): Promise<number> {
  let forgotten = 0;
  for (let deleted = CHUNK; deleted === CHUNK && !signal.aborted; forgotten += deleted) {
    const [, count] = await db1.query<[unknown, number]>(
      `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT ${CHUNK} FOR UPDATE SKIP LOCKED))`,
    );
    deleted = count;
  }
  return forgotten;
}

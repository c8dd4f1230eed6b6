import type { DataSource } from 'typeorm';

/** Rows that one statement of {@link forgetIdempotencyKeys} deletes: short, so that nobody waits for it. */
const CHUNK = 5_000;

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

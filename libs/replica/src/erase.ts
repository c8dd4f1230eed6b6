import type { DataSource } from 'typeorm';

/** What is erased of an email in DB2 (ADR 34). */
export interface ReplicaErasure {
  readonly email: string;
  /** Changes up to this version are erased. */
  readonly version: number;
  /** Whether the email and its version stay, as the guard against late records. */
  readonly keepVersion: boolean;
  /** Only dead letters up to this time; all if null. */
  readonly lettersUntil: string | null;
}

/** Locks the changes in the order of a batch that replaces them. */
const FORGET_LATELY = `
WITH known AS MATERIALIZED (
  SELECT topic, partition, slot FROM subscription_sync.applied_lately WHERE email = $1 AND version <= $2
  ORDER BY topic, partition, slot FOR UPDATE
)
DELETE FROM subscription_sync.applied_lately l USING known k WHERE (l.topic, l.partition, l.slot) = (k.topic, k.partition, k.slot)`;
const FORGET_SPELLINGS =
  'UPDATE subscription_sync.applied SET written = NULL, renamed = NULL WHERE email = $1 AND version <= $2 AND (written IS NOT NULL OR renamed IS NOT NULL)';
const FORGET_VERSION = 'DELETE FROM subscription_sync.applied WHERE email = $1 AND version <= $2';

/** Bytes of another program's record may have the email anywhere. A dead letter without its bytes cannot be redriven. */
const BLANK_LETTERS = `
UPDATE subscription_sync.dead_letters SET key = NULL, value = NULL, state = CASE WHEN state = 'open' THEN 'discarded' ELSE state END,
  changed_at = clock_timestamp()
WHERE (position(convert_to($1, 'UTF8') IN key) > 0 OR position(convert_to($1, 'UTF8') IN value) > 0)
  AND ($2::timestamptz IS NULL OR created_at <= $2)`;

/** Erases an email from the tables of this library. Its row has to be deleted before. */
export async function eraseFromReplica(db2: DataSource, { email, version, keepVersion, lettersUntil }: ReplicaErasure): Promise<void> {
  await db2.transaction(async (manager) => {
    await manager.query(BLANK_LETTERS, [email, lettersUntil]);
    await manager.query(FORGET_LATELY, [email, version]);
    await manager.query(keepVersion ? FORGET_SPELLINGS : FORGET_VERSION, [email, version]);
  });
}

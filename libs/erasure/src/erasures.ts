import { NotFoundException } from '@nestjs/common';
import { type Initiator, recordAct } from '#audit';
import { newestVersion, selectNewestChange, versionsOf } from '#change-log';
import { CANARY_EMAIL, ERASED_EMAIL } from '#events';
import { ProblemException } from '#http';
import { eraseFromImports } from '#import-export';
import type { Query } from '#postgres';
import { eraseFromIdempotencyKeys, WRITE_ONE } from '#subscriptions';
import type { ErasureView, KafkaRemainder } from './erasure.dto.js';

/** An erasure that is not complete, with the newest change of its email. */
export interface OpenErasure {
  readonly id: number;
  readonly email: string;
  /** Changes up to this version are erased. A later change is a new subscription. */
  readonly version: number;
  readonly requested_at: string;
  readonly erased_at: Date | null;
  readonly kafka: KafkaRemainder | null;
  /** Version of the email's newest change, and whether it is a deletion. */
  readonly newest: number | null;
  readonly deleted: boolean | null;
}

const HASH = `coalesce(e.email_hash, encode(sha256(convert_to(e.id || ':' || e.email, 'UTF8')), 'hex'))`;
const time = (column: string): string => `to_json(e.${column}) #>> '{}' AS ${column}`;
/** Columns of an {@link ErasureView} of the row `e`. */
const VIEW = `e.id, CASE WHEN e.completed_at IS NOT NULL THEN 'completed' WHEN e.erased_at IS NOT NULL THEN 'erased' ELSE 'requested' END AS state,
  ${HASH} AS email_hash, e.requested_by, ${time('requested_at')}, ${time('erased_at')}, ${time('completed_at')}, e.kafka`;

/**
 * Requests the erasure of an email in any spelling, in the caller's transaction: deletes its subscription, what requests and imports have
 * stored of it, and notes the erasure, with which a sync process goes on ({@link ErasureWorker}). A request for an email whose erasure is
 * not complete begins it again, from its newest change.
 * @throws ProblemException for an email of the service itself.
 */
export async function requestErasure(query: Query, email: string, by: Initiator): Promise<ErasureView> {
  const [{ key }] = (await query<{ key: string }>('SELECT subscription_sync.normalize_email($1) AS key', [email])) as [{ key: string }];
  if (key === CANARY_EMAIL || key === ERASED_EMAIL) {
    throw new ProblemException('not-found', 'This email is one that the service itself uses. It belongs to nobody');
  }
  await query(WRITE_ONE.text, ['delete', key, {}, { actor: by.actor, origin: 'api', reason: 'erasure' }, null, null]);
  await eraseFromIdempotencyKeys(query, key, await versionsOf(query, key));
  await eraseFromImports(query, key);
  const [erasure] = await query<ErasureView>(
    `INSERT INTO subscription_sync.erasures AS e (email, version, requested_by) VALUES ($1, $2, $3)
     ON CONFLICT (email) WHERE email IS NOT NULL DO UPDATE SET version = excluded.version, requested_by = excluded.requested_by,
       requested_at = excluded.requested_at, erased_at = NULL, kafka = NULL
     RETURNING ${VIEW}`,
    [key, await newestVersion(query, key), by.actor],
  );
  await recordAct(query, { ...by, action: 'subscription.erase', target: String(erasure!.id) });
  return erasure!;
}

/** Reads an erasure. @throws NotFoundException */
export async function readErasure(query: Query, id: number): Promise<ErasureView> {
  const [erasure] = await query<ErasureView>(`SELECT ${VIEW} FROM subscription_sync.erasures e WHERE e.id = $1`, [id]);
  if (!erasure) throw new NotFoundException('There is no erasure with this id');
  return erasure;
}

const SELECT_OPEN = `
SELECT e.id, e.email, e.version, to_json(e.requested_at) #>> '{}' AS requested_at, e.erased_at, e.kafka, newest.version AS newest, newest.operation = 'deleted' AS deleted
FROM subscription_sync.erasures e LEFT JOIN LATERAL (${selectNewestChange('e.email', 'c.version, c.operation')}) newest ON true
WHERE e.email IS NOT NULL`;

/** Reads the erasures that are not complete, the oldest first; with `waiting` also those that wait for Kafka, which may be many. */
export function readOpenErasures(query: Query, waiting: boolean): Promise<OpenErasure[]> {
  return query<OpenErasure>(`${SELECT_OPEN} ${waiting ? '' : 'AND e.erased_at IS NULL'} ORDER BY e.id`);
}

/** Locks an erasure that is not complete until the caller's transaction ends. Returns undefined when another process works on it. */
export async function lockErasure(query: Query, id: number): Promise<OpenErasure | undefined> {
  const [erasure] = await query<OpenErasure>(`${SELECT_OPEN} AND e.id = $1 FOR UPDATE OF e SKIP LOCKED`, [id]);
  return erasure;
}

/** Begins an erasure again, up to a later version: the email was deleted once more, by a repair for example. */
export async function restartErasure(query: Query, id: number, version: number): Promise<void> {
  await query('UPDATE subscription_sync.erasures SET version = $2, erased_at = NULL, kafka = NULL WHERE id = $1', [id, version]);
}

/** Notes that everything but the email and its version is erased, and what Kafka holds. */
export async function storeErased(query: Query, id: number, kafka: KafkaRemainder): Promise<void> {
  await query('UPDATE subscription_sync.erasures SET erased_at = coalesce(erased_at, clock_timestamp()), kafka = $2 WHERE id = $1', [
    id,
    JSON.stringify(kafka),
  ]);
}

/** Replaces the email of a complete erasure by its hash. */
export async function completeErasure(query: Query, id: number): Promise<void> {
  await query(
    `UPDATE subscription_sync.erasures e SET email_hash = ${HASH}, email = NULL, completed_at = clock_timestamp() WHERE e.id = $1`,
    [id],
  );
}

import type { EntityManager } from 'typeorm';
import type { KafkaMessage } from 'kafkajs';

/** A record that can't be applied, and why. */
export interface DeadLetter {
  readonly message: KafkaMessage;
  /** A BadEventClass, or the SQLSTATE by which DB2 refused it. */
  readonly errorClass: string;
  readonly error: string;
}

/** Puts records aside, once each however often they are read. Part of the caller's transaction: if it fails, the offset does not move. */
export async function storeDeadLetters(
  manager: EntityManager,
  place: { readonly topic: string; readonly partition: number },
  letters: readonly DeadLetter[],
): Promise<void> {
  for (const { message, errorClass, error } of letters) {
    await manager.query(
      `INSERT INTO dead_letters (topic, partition, "offset", key, value, error_class, error)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
      [place.topic, place.partition, message.offset, message.key, message.value, errorClass, error],
    );
  }
}

/** One row of the change log, on its way to Kafka. */
export interface Change {
  readonly version: number;
  /** The message's key. */
  readonly email: string;
  /** The event's text, UTF-8, as the trigger built it. It is forwarded untouched. */
  readonly event: Buffer;
  /** When the change was made, as PostgreSQL prints it in UTC. */
  readonly occurredAt: string;
}

/** Limits of what is read, held and sent at once. One message may exceed the bytes; it is then a batch of its own. */
export const BATCH = {
  /** kafkajs sorts a batch into partitions in quadratic time: 2,000 made the whole pipeline 10 % slower, 500 gained nothing more. */
  changes: 1_000,
  /** Below the broker's default limit for a record batch (1 MB): all changes of a batch may go to one partition. */
  bytes: 768 * 1024,
} as const;

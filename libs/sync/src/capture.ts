import type { Change } from '#change-log';

/**
 * Reads the change log. Delivery is at least once, in the order of the log except that a change may come after a later one of
 * the same email (the replica's guard is made for that). Nothing is skipped, whatever commits late.
 *
 * A capture holds back its position until {@link published} says that what it yielded is on Kafka. One error ends it; a new one
 * starts at the stored position.
 */
export interface Capture {
  readonly mode: 'wal' | 'poll';
  /** What a person who looks should know, if anything. */
  readonly note?: string | undefined;

  /**
   * Batches within BATCH's limits, until `signal` aborts, or it is time to see whether a better capture is possible.
   * Throws when the database can't be read.
   */
  batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void>;

  /** The next `count` changes, in the order yielded, have been acknowledged by Kafka. */
  published(count: number): Promise<void>;

  /** Stores what is published and lets go of the database. */
  close(): Promise<void>;
}

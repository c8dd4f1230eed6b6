import type { Change } from '#change-log';

/**
 * Reads the change log. Delivery is at least once, in the order of the log, except that a change may come after a later one of the same
 * email (the replica's guard handles that). No change is skipped, however late it commits.
 *
 * A capture does not advance its position until {@link published} says that the changes it yielded are on Kafka. One error ends it; a new
 * capture starts at the stored position.
 */
export interface Capture {
  readonly mode: 'wal' | 'poll';
  /** A note for the operator, if there is one. */
  readonly note?: string | undefined;

  /**
   * Yields batches within BATCH's limits, until `signal` aborts or it is time to check whether a better capture is possible.
   * Throws when the database cannot be read.
   */
  batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void>;

  /** Reports that Kafka has acknowledged the next `count` changes, in the order in which they were yielded. */
  published(count: number): Promise<void>;

  /** Stores the position of what is published and releases the database. */
  close(): Promise<void>;
}

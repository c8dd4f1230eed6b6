import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { KafkaSettings } from '#config';
import { eventText } from '#schema';
import { type Publishable, Publisher } from '#sync';
import { keysetChunk, KeysetChunk, readAhead, type Step } from './copy-rows.js';
import { nextOffsets } from './wait-until-applied.js';

/** Records that may be between Kafka and DB2: changes that are made now queue behind them, for less than half a second. */
const WINDOW = 16_000;
const POLL_INTERVAL_MS = 10;
/** Whoever applies them may be stopped, or the topic may have begun anew: that is for {@link waitUntilApplied} to wait for, or to see. */
const WAITS_MS = 10_000;

/** What the log said when the row got its version. The log forgets; then the row itself is told, as the same version. */
const TEXT = `coalesce(l.event, ${eventText({
  operation: `'resynced'`,
  image: 's',
  occurred: 's.updated_at',
  traceparent: 'NULL::text',
  previous: `''`,
  actor: `'reconciliation'::text`,
  reason: '$4::text',
  origin: `'sql'::text`,
})})`;

const ROWS = keysetChunk(
  TEXT,
  `LEFT JOIN LATERAL (SELECT c.event FROM subscription_changes c WHERE c.email = s.email AND c.version = s.version LIMIT 1) l ON true`,
);

interface Row {
  readonly email: string;
  /** The event's. */
  readonly text: string;
}

/**
 * Publishes rows as they are, with the versions that they have: what a reader of the topic may get at any time, because delivery is
 * at least once. Nothing is written to DB1. A change that is made meanwhile has a higher version, so it wins wherever both arrive; a
 * row that DB2 has in that version stays as it is there, right or wrong.
 */
export class PublishRows {
  private readonly publisher: Publisher;
  private readonly portion = new KeysetChunk();

  constructor(
    private readonly db1: DataSource,
    private readonly db2: DataSource,
    private readonly kafka: KafkaSettings,
    private readonly signal: AbortSignal,
  ) {
    this.publisher = new Publisher(kafka);
  }

  /** Of `after` < email <= `until`. Yields where it is, each time Kafka has acknowledged some more rows. */
  async *rows(after: string, until: string, reason: string): AsyncGenerator<Step, void, void> {
    for await (const { last, events } of readAhead(after, (from) => this.read(from, until, reason))) {
      await this.publisher.publish(events, this.signal);
      yield { last, rows: events.length };
      await this.room();
    }
  }

  private async read(after: string, until: string, reason: string): Promise<{ last: string; events: Publishable[] } | undefined> {
    const rows = await this.db1.query<Row[]>(ROWS, [after, until, this.portion.rows, reason]);
    this.portion.took(rows.length);
    const last = rows.at(-1)?.email;
    return last === undefined ? undefined : { last, events: rows.map(({ email, text }) => ({ email, event: Buffer.from(text) })) };
  }

  close(): Promise<void> {
    return this.publisher.close();
  }

  private async room(): Promise<void> {
    const deadline = performance.now() + WAITS_MS;
    while ((await this.waiting()) > WINDOW && performance.now() < deadline)
      await delay(POLL_INTERVAL_MS, undefined, { signal: this.signal });
  }

  /** Records that Kafka has of us and DB2 has not, less up to a batch. */
  private async waiting(): Promise<number> {
    const applied = await nextOffsets(this.db2, this.kafka);
    return [...this.publisher.sentAt].reduce((sum, [partition, at]) => sum + Math.max(0, at - (applied.get(partition) ?? 0)), 0);
  }
}

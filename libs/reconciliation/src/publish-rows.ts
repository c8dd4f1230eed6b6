import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { KafkaSettings, ReconciliationTimings } from '#config';
import { eventText } from '#events';
import type { SubscriptionTable } from '#postgres';
import type { Publishable, Publisher } from '#sync';
import { KeysetChunk, keysetChunk, readAhead, type Step } from './copy-rows.js';
import type { RowSource } from './row-fingerprint.js';
import { nextOffsets } from './wait-until-applied.js';
import type { Label } from './runs.js';

/** Maximum number of published rows that wait for DB2: live changes queue behind them, for less than half a second. */
const MAX_WAITING_ROWS = 16_000;

interface Row {
  readonly written: string;
  readonly email: string;
  /** The image. */
  readonly text: string;
}

interface PublishDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly source: RowSource;
  readonly table: SubscriptionTable;
  readonly kafka: KafkaSettings;
  readonly publisher: Publisher;
  readonly timings: ReconciliationTimings;
  readonly signal: AbortSignal;
  readonly label: Label;
  readonly reason: string;
}

/** Publishes rows as `resynced` events with the label as their version, for all readers of the topic. Nothing is written to DB1. */
export class PublishRows {
  private readonly chunk = new KeysetChunk();

  constructor(private readonly parts: PublishDependencies) {}

  /** Publishes the rows with `after` < email <= `until`. Yields its progress each time Kafka has acknowledged a batch. */
  async *rows(after: string, until: string): AsyncGenerator<Step, void, void> {
    const { publisher, signal } = this.parts;
    for await (const { last, events } of readAhead(after, (from) => this.read(from, until))) {
      await publisher.publish(events, signal);
      yield { last, rows: events.length };
      await this.waitForRoom();
    }
  }

  private async read(after: string, until: string): Promise<{ last: string; events: Publishable[] } | undefined> {
    const { db1, source, table } = this.parts;
    const rows = await db1.query<Row[]>(keysetChunk(source, table), [after, until, this.chunk.rows]);
    this.chunk.record(rows.length);
    const last = rows.at(-1)?.written;
    if (last === undefined) return undefined;
    return { last, events: rows.filter(({ email }) => email !== '').map((row) => this.toPublishable(row)) };
  }

  /** Closes the publisher. */
  close(): Promise<void> {
    return this.parts.publisher.close();
  }

  /** Waits no longer than a bound: the replica may be stopped, or the topic recreated, which `waitUntilApplied` deals with. */
  private async waitForRoom(): Promise<void> {
    const { publishPollMs, publishWaitMaxMs } = this.parts.timings;
    const deadline = performance.now() + publishWaitMaxMs;
    while ((await this.countWaiting()) > MAX_WAITING_ROWS && performance.now() < deadline)
      await delay(publishPollMs, undefined, { signal: this.parts.signal });
  }

  /** Counts published rows that are not in DB2; up to a batch too few. */
  private async countWaiting(): Promise<number> {
    const applied = await nextOffsets(this.parts.db2, this.parts.kafka);
    return [...this.parts.publisher.sentAt].reduce((sum, [partition, at]) => sum + Math.max(0, at - (applied.get(partition) ?? 0)), 0);
  }

  private toPublishable({ email, text: image }: Row): Publishable {
    const { label, reason } = this.parts;
    const event = eventText({
      version: label.version,
      operation: 'resynced',
      email,
      image,
      previous: null,
      actor: 'reconciliation',
      reason,
      origin: 'sql',
      traceparent: null,
      occurred_at: label.drawnAt,
    });
    return { email, event: Buffer.from(event) };
  }
}

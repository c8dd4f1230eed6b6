import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { selectChange } from '#change-log';
import type { KafkaSettings, ReconciliationTimings } from '#config';
import { eventText, type LoggedChange } from '#events';
import type { Publishable, Publisher } from '#sync';
import { keysetChunk, KeysetChunk, readAhead, type Step } from './copy-rows.js';
import { nextOffsets } from './wait-until-applied.js';

/** Maximum number of published rows that wait for DB2: live changes queue behind them, for less than half a second. */
const MAX_WAITING_ROWS = 16_000;

/** The logged change, or the row if the change has been pruned. */
const ROWS = keysetChunk({
  text: 'coalesce(l.image, row_to_json(s)::text)',
  join: `LEFT JOIN LATERAL (${selectChange('s.email', 's.version')}) l ON true`,
  columns: `s.version, coalesce(l.operation, 'resynced') AS operation, l.previous, coalesce(l.actor, 'reconciliation') AS actor,
    CASE WHEN l.version IS NULL THEN $4::text ELSE l.reason END AS reason, coalesce(l.origin, 'sql') AS origin, l.traceparent,
    coalesce(l.occurred_at, s.updated_at)::text AS occurred_at`,
});

interface Row extends Omit<LoggedChange, 'image'> {
  /** The image. */
  readonly text: string;
}

/**
 * Publishes rows again with their versions. A reader of the topic may get such a record at any time, because delivery is at least
 * once. Nothing is written to DB1. A change that is made meanwhile has a higher version, so it wins wherever both arrive. A row that
 * DB2 already has in that version stays as it is, right or wrong.
 */
export class PublishRows {
  private readonly chunk = new KeysetChunk();

  constructor(
    private readonly db1: DataSource,
    private readonly db2: DataSource,
    private readonly kafka: KafkaSettings,
    private readonly publisher: Publisher,
    private readonly timings: ReconciliationTimings,
    private readonly signal: AbortSignal,
  ) {}

  /** Publishes the rows with `after` < email <= `until`. Yields its progress each time Kafka has acknowledged a batch. */
  async *rows(after: string, until: string, reason: string): AsyncGenerator<Step, void, void> {
    for await (const { last, events } of readAhead(after, (from) => this.read(from, until, reason))) {
      await this.publisher.publish(events, this.signal);
      yield { last, rows: events.length };
      await this.waitForRoom();
    }
  }

  private async read(after: string, until: string, reason: string): Promise<{ last: string; events: Publishable[] } | undefined> {
    const rows = await this.db1.query<Row[]>(ROWS, [after, until, this.chunk.rows, reason]);
    this.chunk.record(rows.length);
    const last = rows.at(-1)?.email;
    return last === undefined ? undefined : { last, events: rows.map(toPublishable) };
  }

  /** Closes the publisher. */
  close(): Promise<void> {
    return this.publisher.close();
  }

  /** Waits no longer than a bound: the replica may be stopped, or the topic recreated, which `waitUntilApplied` deals with. */
  private async waitForRoom(): Promise<void> {
    const { publishPollMs, publishWaitMaxMs } = this.timings;
    const deadline = performance.now() + publishWaitMaxMs;
    while ((await this.countWaiting()) > MAX_WAITING_ROWS && performance.now() < deadline)
      await delay(publishPollMs, undefined, { signal: this.signal });
  }

  /** Counts published rows that are not in DB2; up to a batch too few. */
  private async countWaiting(): Promise<number> {
    const applied = await nextOffsets(this.db2, this.kafka);
    return [...this.publisher.sentAt].reduce((sum, [partition, at]) => sum + Math.max(0, at - (applied.get(partition) ?? 0)), 0);
  }
}

function toPublishable({ text: image, ...row }: Row): Publishable {
  return { email: row.email, event: Buffer.from(eventText({ ...row, image })) };
}

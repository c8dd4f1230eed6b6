import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type KafkaSettings, type KafkaTimings, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { fetchTopicOffsets } from '#kafka';
import { coalesce } from '#observability';
import { type Database, DB2 } from '#postgres';
import { findBeyond, type Waiting } from './replica-status.js';

/** Metrics of applying events to DB2. */
@Injectable()
export class ReplicaMetrics {
  private readonly appliedTotal: Counter;
  private readonly guardedTotal: Counter;
  private readonly deadLetters: Counter;
  private readonly delay: Histogram;
  private readonly lag = new ApplyLag();

  constructor(
    @Inject(Registry) registry: Registry,
    @Inject(DB2) db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) timings: Timings,
  ) {
    const registers = [registry];
    this.appliedTotal = new Counter({
      name: 'subscription_sync_applied_total',
      help: 'Events that changed a row of DB2',
      registers,
    });
    this.guardedTotal = new Counter({
      name: 'subscription_sync_guarded_total',
      help: 'Events that changed nothing because DB2 or the same batch had a newer version: duplicates, replays and late events',
      registers,
    });
    this.deadLetters = new Counter({
      name: 'subscription_sync_dead_letters_total',
      help: 'Records that became dead letters, by reason',
      labelNames: ['error_class'],
      registers,
    });
    this.delay = new Histogram({
      name: 'subscription_sync_apply_delay_seconds',
      help: 'Time from a change in DB1 to its commit in DB2, of the newest event of each batch',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600],
      registers,
    });
    new Gauge({
      name: 'subscription_sync_dead_letters_open',
      help: 'Dead letters that are open',
      registers,
      collect: async function () {
        this.set(await countOpenLetters(db2));
      },
    });
    const waiting = coalesce(() => readWaiting(db2, settings, timings.kafka));
    const { lag } = this;
    new Gauge({
      name: 'subscription_sync_apply_lag_seconds',
      help: 'Age of the oldest change that waits in Kafka for DB2; 0 when none does',
      registers,
      collect: async function () {
        const found = await waiting();
        this.set(found ? lag.seconds(found) : Number.NaN);
      },
    });
    new Gauge({
      name: 'subscription_sync_apply_lag_changes',
      help: 'Records of the topic that are not yet applied to DB2, over all partitions',
      registers,
      collect: async function () {
        const found = await waiting();
        this.set(found ? [...found.values()].reduce((sum, { count }) => sum + count, 0) : Number.NaN);
      },
    });
  }

  /** Called before a batch is applied, with the offset of its first event and the time of that change. */
  received(partition: number, offset: string, time: string): void {
    this.lag.received(partition, Number(offset), Date.parse(time));
  }

  /** Called when a batch of a partition is applied, with the time of its last event, if it has one. */
  applied(partition: number, time: string | undefined): void {
    this.lag.applied(partition);
    if (time !== undefined) this.delay.observe(Math.max(0, (Date.now() - Date.parse(time)) / 1_000));
  }

  /** Counts events that were applied and have written `changed` rows. */
  wrote(changed: number, events: number): void {
    this.appliedTotal.inc(changed);
    this.guardedTotal.inc(events - changed);
  }

  deadLetter(errorClass: string): void {
    this.deadLetters.inc({ error_class: errorClass });
  }
}

/** Returns NaN while DB2 does not answer. */
async function countOpenLetters(db2: Database): Promise<number> {
  try {
    const [counted] = await db2.query<{ open: number }>(
      `SELECT count(*)::int AS open FROM subscription_sync.dead_letters WHERE state = 'open'`,
    );
    return counted!.open;
  } catch {
    return Number.NaN;
  }
}

/**
 * Knows since when changes wait. A process knows the time of the first change of a batch that it is applying, or could not apply. Of records
 * that it has not read, it only knows since when it sees them wait: another process may have them, or none.
 */
export class ApplyLag {
  private readonly firsts = new Map<number, { readonly offset: number; readonly time: number }>();
  private seen = new Map<number, { readonly from: number; readonly time: number }>();

  received(partition: number, offset: number, time: number): void {
    this.firsts.set(partition, { offset, time });
  }

  applied(partition: number): void {
    this.firsts.delete(partition);
  }

  /** Returns the age (s) of the oldest change that waits, or 0. */
  seconds(waiting: ReadonlyMap<number, Waiting>, now = Date.now()): number {
    const stalled = [...waiting].filter(([, { count }]) => count > 0);
    this.seen = new Map(
      stalled.map(([partition, { from }]) => {
        const before = this.seen.get(partition);
        return [partition, before?.from === from ? before : { from, time: now }];
      }),
    );
    const times = stalled.map(([partition, { from }]) => {
      const first = this.firsts.get(partition);
      // Another process has applied a batch that this one gave up.
      return first && first.offset >= from ? first.time : this.seen.get(partition)!.time;
    });
    return Math.max(0, now - Math.min(now, ...times)) / 1_000;
  }
}

/** Returns undefined while DB2 or Kafka does not answer. */
async function readWaiting(db2: Database, settings: Settings, timings: KafkaTimings): Promise<Map<number, Waiting> | undefined> {
  try {
    return await findWaiting(db2, settings.kafka!, timings);
  } catch {
    return undefined;
  }
}

/**
 * Finds, per partition, the records that are not yet applied to DB2; see `findBeyond`.
 * @throws the driver's error when DB2 or Kafka does not answer.
 */
export async function findWaiting(
  db2: Database,
  kafka: KafkaSettings,
  timings: KafkaTimings,
  skippedTo?: ReadonlyMap<number, number>,
): Promise<Map<number, Waiting>> {
  const [offsets, positions] = await Promise.all([
    fetchTopicOffsets(kafka, timings),
    db2.query<{ partition: number; offset: number }>('SELECT partition, "offset" FROM subscription_sync.positions WHERE topic = $1', [
      kafka.topic,
    ]),
  ]);
  return findBeyond(offsets, positions, skippedTo);
}

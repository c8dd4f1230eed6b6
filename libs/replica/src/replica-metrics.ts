import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type KafkaSettings, type KafkaTimings, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import type { ReceivedEvent } from '#events';
import { fetchTopicOffsets } from '#kafka';
import { coalesce } from '#observability';
import { type Database, DB2 } from '#postgres';

/** Metrics of applying events to DB2. */
@Injectable()
export class ReplicaMetrics {
  private readonly appliedTotal: Counter;
  private readonly guardedTotal: Counter;
  private readonly deadLetters: Counter;
  private readonly delay: Histogram;
  private newestTime = 0;

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
    const waiting = coalesce(() => totalWaiting(db2, settings, timings.kafka));
    const age = (): number => (this.newestTime === 0 ? Number.NaN : (Date.now() - this.newestTime) / 1_000);
    new Gauge({
      name: 'subscription_sync_apply_lag_seconds',
      help: 'Age of the newest applied event while records wait in Kafka; 0 when none do',
      registers,
      collect: async function () {
        this.set((await waiting()) === 0 ? 0 : age());
      },
    });
    new Gauge({
      name: 'subscription_sync_apply_lag_changes',
      help: 'Records of the topic that are not yet applied to DB2, over all partitions',
      registers,
      collect: async function () {
        this.set(await waiting());
      },
    });
  }

  /** Counts the events of a batch, which wrote `changed` rows. */
  applied(events: readonly ReceivedEvent[], changed: number): void {
    this.appliedTotal.inc(changed);
    this.guardedTotal.inc(events.length - changed);
    const newest = events.at(-1);
    if (!newest) return;
    this.newestTime = Date.parse(newest.time);
    this.delay.observe(Math.max(0, (Date.now() - this.newestTime) / 1_000));
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

/** Returns NaN while DB2 or Kafka does not answer. */
async function totalWaiting(db2: Database, settings: Settings, timings: KafkaTimings): Promise<number> {
  try {
    const waiting = await countWaiting(db2, settings.kafka!, timings);
    return [...waiting.values()].reduce((sum, count) => sum + count, 0);
  } catch {
    return Number.NaN;
  }
}

/**
 * Counts, per partition, the records that are not yet applied to DB2: those of the topic beyond the position stored in DB2. Expired
 * records do not count, nor do those before `skippedTo`, which never reach a handler.
 * @throws the driver's error when DB2 or Kafka does not answer.
 */
export async function countWaiting(
  db2: Database,
  kafka: KafkaSettings,
  timings: KafkaTimings,
  skippedTo: ReadonlyMap<number, number> = new Map(),
): Promise<Map<number, number>> {
  const [offsets, positions] = await Promise.all([
    fetchTopicOffsets(kafka, timings),
    db2.query<{ partition: number; offset: number }>('SELECT partition, "offset" FROM subscription_sync.positions WHERE topic = $1', [
      kafka.topic,
    ]),
  ]);
  const applied = new Map(positions.map(({ partition, offset }) => [partition, offset + 1]));
  const waiting = new Map<number, number>();
  for (const [partition, { first, end }] of offsets) {
    waiting.set(partition, Math.max(0, end - Math.max(applied.get(partition) ?? 0, skippedTo.get(partition) ?? 0, first)));
  }
  return waiting;
}

import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Change } from '#change-log';
import { SETTINGS, type Settings } from '#config';
import { coalesce } from '#observability';
import { type Database, DB1 } from '#postgres';
import { SLOT_PROBLEMS, type SlotProblem } from './replication-slot.js';
import { MAX_COUNTED, WAITING } from './sync-status.js';

/** Returns no row while there is no slot, as with `poll`. */
const SLOT = `
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 AS retained, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 AS behind
FROM pg_replication_slots WHERE slot_name = $1`;

/** Bytes of WAL. */
interface SlotBytes {
  /** WAL that DB1 keeps for the slot. */
  readonly retained: number;
  /** WAL that DB1 has written since the newest change that the service has confirmed. */
  readonly behind: number;
}

/** Metrics of capture and publication. */
@Injectable()
export class SyncMetrics {
  private readonly capturedTotal: Counter;
  private readonly publishedTotal: Counter;
  private readonly unpublishableTotal: Counter;
  private readonly slotsReplacedTotal: Counter;
  private readonly delay: Histogram;
  private highestPublished = 0;
  /** Number of changes that are on Kafka, or stored as unpublishable. */
  done = 0;

  constructor(
    @Inject(Registry) registry: Registry,
    @Inject(SETTINGS) { capture }: Settings,
    @Inject(DB1) private readonly db1: Database,
  ) {
    const registers = [registry];
    this.capturedTotal = new Counter({
      name: 'subscription_sync_captured_total',
      help: 'Changes read from the change log of DB1',
      registers,
    });
    this.publishedTotal = new Counter({
      name: 'subscription_sync_published_total',
      help: 'Changes acknowledged by Kafka',
      registers,
    });
    this.unpublishableTotal = new Counter({
      name: 'subscription_sync_unpublishable_total',
      help: 'Changes that Kafka refuses, stored in DB1.subscription_sync.unpublishable_changes',
      registers,
    });
    this.slotsReplacedTotal = new Counter({
      name: 'subscription_sync_slots_replaced_total',
      help: 'Replication slots that could not be used any more, by reason; the change log was replayed or polled instead',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of Object.keys(SLOT_PROBLEMS)) this.slotsReplacedTotal.inc({ reason }, 0);
    this.delay = new Histogram({
      name: 'subscription_sync_publish_delay_seconds',
      help: 'From a change in DB1 to its acknowledgement by Kafka; the newest change of each batch',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600],
      registers,
    });
    const waiting = coalesce(() => readWaiting(db1, this.highestPublished));
    new Gauge({
      name: 'subscription_sync_publish_lag_seconds',
      help: 'Age of the oldest change that is not on Kafka; 0 when all are',
      registers,
      collect: async function () {
        this.set((await waiting()).seconds);
      },
    });
    new Gauge({
      name: 'subscription_sync_publish_lag_changes',
      help: `Changes of DB1 that are not on Kafka yet, counted up to ${MAX_COUNTED}`,
      registers,
      collect: async function () {
        this.set((await waiting()).changes);
      },
    });
    const slot = coalesce(() => readSlot(db1, capture.slot));
    new Gauge({
      name: 'subscription_sync_slot_retained_bytes',
      help: 'WAL that DB1 keeps for the replication slot; 0 when there is none',
      registers,
      collect: async function () {
        this.set((await slot()).retained);
      },
    });
    new Gauge({
      name: 'subscription_sync_capture_lag_bytes',
      help: 'WAL that DB1 has written since the position up to which everything is on Kafka; 0 when there is no replication slot',
      registers,
      collect: async function () {
        this.set((await slot()).behind);
      },
    });
  }

  /** Whether DB1 answers and has changes that are not on Kafka. */
  async isBehind(): Promise<boolean> {
    return (await readWaiting(this.db1, this.highestPublished)).changes > 0;
  }

  captured(changes: readonly Change[]): void {
    this.capturedTotal.inc(changes.length);
  }

  unpublishable(count: number): void {
    this.unpublishableTotal.inc(count);
  }

  slotReplaced(reason: SlotProblem): void {
    this.slotsReplacedTotal.inc({ reason });
  }

  published(changes: readonly Change[]): void {
    this.publishedTotal.inc(changes.length);
    this.done += changes.length;
    const last = changes.at(-1);
    if (!last) return;
    this.highestPublished = Math.max(this.highestPublished, last.version);
    this.delay.observe(Math.max(0, (Date.now() - Date.parse(last.occurredAt)) / 1_000));
  }
}

/** Returns NaN while DB1 does not answer: a gauge must not show 0 for an unknown value. */
async function readWaiting(db1: Database, published: number): Promise<{ changes: number; seconds: number }> {
  try {
    const [waiting] = await db1.query<{ changes: number; seconds: number }>(WAITING, [published]);
    return waiting!;
  } catch {
    return { changes: Number.NaN, seconds: Number.NaN };
  }
}

/** Returns NaN while DB1 does not answer, and once the slot is invalidated. */
async function readSlot(db1: Database, slot: string): Promise<SlotBytes> {
  try {
    const [found] = await db1.query<Record<keyof SlotBytes, number | null>>(SLOT, [slot]);
    if (found === undefined) return { retained: 0, behind: 0 };
    return { retained: found.retained ?? Number.NaN, behind: found.behind ?? Number.NaN };
  } catch {
    return { retained: Number.NaN, behind: Number.NaN };
  }
}

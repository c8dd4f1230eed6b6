import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { countChangesAbove } from '#change-log';
import { type KafkaSettings, type ReconciliationTimings, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { type Database, DB1, DB2 } from '#postgres';
import { highestApplied } from './wait-until-applied.js';

/** Maximum number of logged changes that DB2 lacks before a run pauses: about a second of the stream. */
const MAX_LAG_CHANGES = 20_000;

/** Pauses a run while the stream lags. The pace of a run that is not paused follows from its `load` and `rate`. */
@Injectable()
export class Throttle {
  private readonly kafka: KafkaSettings;
  private readonly timings: ReconciliationTimings;
  private checkedAt = -Infinity;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) timings: Timings,
  ) {
    this.kafka = settings.kafka!;
    this.timings = timings.reconciliation;
  }

  /** Resolves at once when the stream does not lag, and after `lagPauseMaxMs` (10 s) at the latest. Rejects when `signal` aborts. */
  async whenCaughtUp(signal: AbortSignal): Promise<void> {
    const { lagCheckIntervalMs, lagPollMs, lagPauseMaxMs } = this.timings;
    if (performance.now() - this.checkedAt <= lagCheckIntervalMs) return;
    const deadline = performance.now() + lagPauseMaxMs;
    while ((await this.isLagging()) && performance.now() < deadline) await delay(lagPollMs, undefined, { signal });
    this.checkedAt = performance.now();
  }

  private async isLagging(): Promise<boolean> {
    const applied = await highestApplied(this.db2.dataSource, this.kafka);
    const changes = await countChangesAbove(this.db1.dataSource, applied, MAX_LAG_CHANGES + 1);
    return changes > MAX_LAG_CHANGES;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Counter, Histogram, Registry } from 'prom-client';
import { wasChangedWithin } from '#change-log';
import { type MappingSettings, type ReconciliationTimings, SETTINGS, type Settings, sleep, TIMINGS, type Timings } from '#config';
import { CANARY_EMAIL, DEFAULT_VALUES } from '#events';
import { type Database, DB1, DB2, type SubscriptionTable, hasKey } from '#postgres';
import { appliedVersion } from '#replica';

/** Returns the canary's row as JSON: the built-in columns, and the email under the name of its column. */
export function canaryRow({ db1 }: MappingSettings, now = new Date()): string {
  const time = now.toISOString();
  const row = { ...DEFAULT_VALUES, email: CANARY_EMAIL, status: 'canary', created_at: time, updated_at: time };
  return JSON.stringify({ ...row, [db1.key]: CANARY_EMAIL });
}

/** Deletes a row that never existed. One process at a time sends one, and none is sent while a program has created such a row. */
const send = (table: SubscriptionTable): string => `
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock(hashtext('subscription_sync.canary')) AS mine,
         ${wasChangedWithin('$1', '$2')} AS done,
         EXISTS (SELECT FROM ${table.sql} s WHERE ${hasKey(table, 's', `$1::text::${table.keyColumn.typeOfAnyLength}`)}) AS taken
)
SELECT subscription_sync.append_change('deleted', $1, $3) AS version FROM turn WHERE mine AND NOT done AND NOT taken`;

/**
 * Sends a record from DB1's log through capture and Kafka to DB2 every CANARY_INTERVAL, and measures how long it takes: from outside
 * all parts, and even when nothing else changes. The record is a deletion, so it never appears in either table.
 */
@Injectable()
export class Canary implements OnApplicationBootstrap {
  private readonly logger = new Logger('canary');
  private readonly stopping = new AbortController();
  private readonly intervalS: number;
  private readonly mapping: MappingSettings;
  private readonly timings: ReconciliationTimings;
  private readonly seconds: Histogram;
  private readonly late: Counter;
  private running: Promise<void> | undefined;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) timings: Timings,
    @Inject(Registry) registry: Registry,
  ) {
    this.intervalS = settings.canaryIntervalS;
    this.mapping = settings.mapping;
    this.timings = timings.reconciliation;
    const registers = [registry];
    this.seconds = new Histogram({
      name: 'subscription_sync_canary_seconds',
      help: 'Time from the commit of a canary in DB1 until it is seen in DB2',
      buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers,
    });
    this.late = new Counter({
      name: 'subscription_sync_canaries_late_total',
      help: `Canaries that had not reached DB2 after ${this.timings.canaryLateMs / 1_000} s`,
      registers,
    });
  }

  onApplicationBootstrap(): void {
    if (this.intervalS > 0) this.running = this.sendAll(this.stopping.signal);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async sendAll(signal: AbortSignal): Promise<void> {
    await Promise.all([this.db1.ready, this.db2.ready]).catch(() => undefined);
    while (!signal.aborted) {
      await this.measure(signal).catch((error: unknown) => {
        if (!signal.aborted) this.logger.debug(`The canary could not be measured: ${(error as Error).message}`);
      });
      await sleep(this.intervalS * 1_000, signal);
    }
  }

  private async measure(signal: AbortSignal): Promise<void> {
    const [sent] = await this.db1.transaction(async (manager) => {
      await manager.query(`SELECT set_config('subscription_sync.actor', 'canary', true)`);
      // Another process may have sent one a moment ago: its interval began slightly earlier than this one's.
      return manager.query<{ version: number }[]>(send(this.db1.table), [CANARY_EMAIL, this.intervalS * 0.9, canaryRow(this.mapping)]);
    });
    if (!sent) return;
    const started = performance.now();
    const { canaryPollFirstMs, canaryPollMaxMs, canaryLateMs } = this.timings;
    for (let pause = canaryPollFirstMs; ; pause = Math.min(pause * 1.5, canaryPollMaxMs)) {
      const arrived = (await appliedVersion(this.db2, CANARY_EMAIL).catch(() => 0)) >= sent.version;
      const ms = performance.now() - started;
      if (arrived) {
        this.seconds.observe(ms / 1_000);
        return;
      }
      if (ms > canaryLateMs) break;
      await delay(pause, undefined, { signal });
    }
    this.late.inc();
    this.logger.warn({
      code: 'canary-late',
      message: `A canary has not reached Database 2 after ${canaryLateMs / 1_000} s: the stream is stopped or lags far behind`,
    });
  }
}

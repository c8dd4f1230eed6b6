import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { Counter, Histogram, Registry } from 'prom-client';
import { SETTINGS, type Settings } from '#config';
import { CANARY_EMAIL, DEFAULT_VALUES } from '#events';
import { type Database, DB1, DB2 } from '#postgres';

/** A canary that has not arrived by then is late, and not waited for any more. */
const LATE_MS = 60_000;
const LOOK_MS = { first: 2, longest: 250 };

/** The deletion of a row that never was. One process at a time, and none while there is such a row, which somebody must have made. */
const SEND = `
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock(hashtext('subscription_sync.canary')) AS mine,
         EXISTS (SELECT FROM subscription_changes WHERE email = $1 AND occurred_at > clock_timestamp() - make_interval(secs => $2)) AS done,
         EXISTS (SELECT FROM subscriptions WHERE email = $1) AS taken
), canary AS MATERIALIZED (
  SELECT jsonb_populate_record(NULL::subscriptions, '${JSON.stringify({ ...DEFAULT_VALUES, status: 'canary' })}'::jsonb || jsonb_build_object('email', $1::text,
    'version', nextval('subscription_version'), 'created_at', clock_timestamp(), 'updated_at', clock_timestamp())) AS image
  FROM turn WHERE mine AND NOT done AND NOT taken
)
SELECT (image).version, subscription_append_change('deleted', image, NULL) FROM canary`;

/**
 * Sends a record the whole way, DB1's log → capture → Kafka → DB2, every CANARY_INTERVAL, and measures how long it takes: also when nobody
 * changes anything, and from outside of all parts. It is a deletion, so neither table ever shows it.
 */
@Injectable()
export class Canary implements OnApplicationBootstrap {
  private readonly logger = new Logger('canary');
  private readonly stopping = new AbortController();
  private readonly intervalS: number;
  private readonly seconds: Histogram;
  private readonly late: Counter;
  private running: Promise<void> | undefined;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(Registry) registry: Registry,
  ) {
    this.intervalS = settings.canaryIntervalS;
    const registers = [registry];
    this.seconds = new Histogram({
      name: 'subscription_sync_canary_seconds',
      help: 'From the commit of a canary in DB1 until DB2 shows that it has it',
      buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers,
    });
    this.late = new Counter({
      name: 'subscription_sync_canaries_late_total',
      help: `Canaries that had not reached DB2 after ${LATE_MS / 1_000} s`,
      registers,
    });
  }

  onApplicationBootstrap(): void {
    if (this.intervalS > 0) this.running = this.fly(this.stopping.signal);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async fly(signal: AbortSignal): Promise<void> {
    await Promise.all([this.db1.ready, this.db2.ready]).catch(() => undefined);
    while (!signal.aborted) {
      await this.measure(signal).catch((error: unknown) => {
        if (!signal.aborted) this.logger.debug(`No canary now: ${(error as Error).message}`);
      });
      await delay(this.intervalS * 1_000, undefined, { signal }).catch(() => undefined);
    }
  }

  private async measure(signal: AbortSignal): Promise<void> {
    const [sent] = await this.db1.transaction(async (manager) => {
      await manager.query(`SELECT set_config('subscription_sync.actor', 'canary', true)`);
      // Others may have flown a moment ago: their interval begins a bit earlier than this one's.
      return manager.query<{ version: number }[]>(SEND, [CANARY_EMAIL, this.intervalS * 0.9]);
    });
    if (!sent) return;
    const started = performance.now();
    for (let pause = LOOK_MS.first; ; pause = Math.min(pause * 1.5, LOOK_MS.longest)) {
      const arrived = await this.hasArrived(sent.version);
      const ms = performance.now() - started;
      if (arrived) {
        this.seconds.observe(ms / 1_000);
        return;
      }
      if (ms > LATE_MS) break;
      await delay(pause, undefined, { signal });
    }
    this.late.inc();
    this.logger.warn(`A canary is not in Database 2 after ${LATE_MS / 1_000} s: the stream stands still or is far behind`);
  }

  private async hasArrived(version: number): Promise<boolean> {
    const [row] = await this.db2
      .query<{ version: number }>('SELECT version FROM replicated_subscriptions WHERE email = $1', [CANARY_EMAIL])
      .catch(() => []);
    return row !== undefined && row.version >= version;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Counter, Registry } from 'prom-client';
import { SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { GracefulShutdown } from './graceful-shutdown.js';
import { Health } from './health.js';

/** A part of the process whose progress is watched. */
export interface WatchedPart {
  readonly name: string;
  /** Returns a value that changes whenever the part has done some work. It is evidence of the work, not the part's own opinion. */
  progress(): string;
  /**
   * Resolves with whether work is waiting for the part and no known reason keeps the part from doing it. Rejects, or resolves with false,
   * while a dependency does not answer and while the part reports that it waits for something: those are waits, not stalls.
   */
  isBehind(): Promise<boolean>;
  /** Starts the part afresh, whatever it was doing. The watchdog bounds how long this may take. */
  restart(): Promise<void>;
}

/**
 * Watches progress, not liveness: a part may look alive and do nothing, for example a consumer that was not given its partitions back, or
 * a request that is never answered. {@link StallDetector} decides when to act; ADR 11 has the reasons.
 */
@Injectable()
export class Watchdog implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Resolves with the reason when a part stays stalled after its restart. The process should then end, so that a new one replaces it. */
  readonly gaveUp: Promise<string>;

  private readonly logger = new Logger('watchdog');
  private readonly stopping = new AbortController();
  private readonly parts: WatchedPart[] = [];
  private readonly restarts: Counter;
  private readonly stallTimeoutMs: number;
  private failure: string | undefined;
  private giveUp!: (reason: string) => void;

  constructor(
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Inject(Registry) registry: Registry,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
  ) {
    this.stallTimeoutMs = settings.stallTimeoutMs;
    this.gaveUp = new Promise((resolve) => (this.giveUp = resolve));
    this.restarts = new Counter({
      name: 'subscription_sync_restarts_total',
      help: 'Restarts of parts of the process that were behind and made no progress',
      labelNames: ['part'],
      registers: [registry],
    });
  }

  register(part: WatchedPart): void {
    if (this.parts.length === 0) this.health.register({ name: 'watchdog', critical: true, check: () => this.check() });
    this.parts.push(part);
    this.restarts.inc({ part: part.name }, 0);
  }

  onApplicationBootstrap(): void {
    for (const part of this.parts) void this.watch(part);
  }

  onApplicationShutdown(): void {
    this.stopping.abort();
  }

  private check(): Promise<Record<string, unknown>> {
    return this.failure === undefined ? Promise.resolve({}) : Promise.reject(new Error(this.failure));
  }

  private async watch(part: WatchedPart): Promise<void> {
    const { signal } = this.stopping;
    const { minSampleIntervalMs, maxSampleIntervalMs } = this.timings.observability;
    const intervalMs = Math.min(Math.max(this.stallTimeoutMs / 10, minSampleIntervalMs), maxSampleIntervalMs);
    const detector = new StallDetector(this.stallTimeoutMs, intervalMs);
    let progress: string | undefined;
    while (!signal.aborted && this.failure === undefined) {
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
      // isBehind() queries the dependencies, which is unnecessary while the part makes progress.
      const moved = part.progress() !== progress;
      progress = part.progress();
      const behind = !moved && !this.shutdown.stopping && (await this.isBehind(part));
      const remedy = detector.observe({ now: performance.now(), progress: part.progress(), behind });
      if (remedy === 'restart') await this.restart(part);
      if (remedy === 'give-up') this.abandon(part);
    }
  }

  private async isBehind(part: WatchedPart): Promise<boolean> {
    try {
      return await Promise.race([part.isBehind(), delay(this.timings.observability.watchdogCheckMs, false, { ref: false })]);
    } catch {
      return false;
    }
  }

  private async restart(part: WatchedPart): Promise<void> {
    this.restarts.inc({ part: part.name });
    this.logger.error({
      code: 'part-restarted',
      message: `${part.name} is behind and has made no progress for ${this.stallTimeoutMs} ms. Restarting it.`,
    });
    try {
      await Promise.race([part.restart(), delay(this.timings.observability.partRestartMs, undefined, { ref: false })]);
    } catch (error) {
      this.logger.error({ code: 'part-restart-failed', message: `${part.name} could not be restarted: ${(error as Error).message}` });
    }
  }

  private abandon(part: WatchedPart): void {
    const since = new Date(Date.now() - 2 * this.stallTimeoutMs).toISOString();
    this.failure = `${part.name} is behind and has made no progress since ${since}, although it was restarted`;
    this.logger.fatal({
      code: 'process-gave-up',
      message: `${this.failure}. The process ends so that a new one can take over. Nothing is lost.`,
    });
    this.giveUp(this.failure);
  }
}

/** State of a watched part at one moment. */
interface Sample {
  /** Time (ms) of a monotonic clock. */
  readonly now: number;
  /** See {@link WatchedPart.progress}. */
  readonly progress: string;
  /** See {@link WatchedPart.isBehind}. */
  readonly behind: boolean;
}

export type Remedy = 'none' | 'restart' | 'give-up';

/**
 * Decides when a part has stalled: it was behind in every sample for `timeoutMs` and made no progress. The first remedy is a restart. When
 * the part stays stalled for another `timeoutMs`, the remedy is to give up.
 *
 * Time between two samples counts only up to twice the usual interval (`intervalMs`): in a process that was stopped, or on a machine that
 * slept, the parts had no time to make progress.
 */
export class StallDetector {
  private last: Sample | undefined;
  private stalledMs = 0;
  private restarted = false;

  constructor(
    private readonly timeoutMs: number,
    private readonly intervalMs: number,
  ) {}

  observe(sample: Sample): Remedy {
    const { last } = this;
    this.last = sample;
    if (!last?.behind || !sample.behind || sample.progress !== last.progress) {
      this.stalledMs = 0;
      this.restarted = false;
      return 'none';
    }
    this.stalledMs += Math.min(sample.now - last.now, 2 * this.intervalMs);
    if (this.stalledMs < this.timeoutMs) return 'none';
    this.stalledMs = 0;
    if (this.restarted) return 'give-up';
    this.restarted = true;
    return 'restart';
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Counter, Registry } from 'prom-client';
import { SETTINGS, type Settings } from '#config';
import { GracefulShutdown } from './graceful-shutdown.js';
import { Health } from './health.js';

const POLL_INTERVAL_MS = { often: 250, seldom: 5_000 };
/** A part that does not answer is not known to be behind. */
const CHECK_TIMEOUT_MS = 10_000;
const RESTART_TIMEOUT_MS = 15_000;

/** A part of the process that is to get things done. */
export interface WatchedPart {
  readonly name: string;
  /** Another value as soon as it got something done. Evidence of its work, not its opinion. */
  progress(): string;
  /**
   * Whether work waits for it while nothing known stands in its way. Rejects, or says no, while a dependency does not answer and
   * while the part waits for something and says so: those are waits, not stalls.
   */
  isBehind(): Promise<boolean>;
  /** Begins anew, whatever it was doing. Bounded by the watchdog. */
  restart(): Promise<void>;
}

/**
 * Watches progress, not liveness: a part may look alive and do nothing (a consumer that was not given back its partitions, a send
 * that is never answered). See {@link StallDetector} for when something is done, and ADR 11.
 */
@Injectable()
export class Watchdog implements OnApplicationBootstrap, OnApplicationShutdown {
  /** Resolves with why, when a part stays stalled after its restart: the process is to end, so that another one begins anew. */
  readonly gaveUp: Promise<string>;

  private readonly logger = new Logger('watchdog');
  private readonly stopping = new AbortController();
  private readonly parts: WatchedPart[] = [];
  private readonly restarts: Counter;
  private readonly timeoutMs: number;
  private verdict: string | undefined;
  private giveUp!: (why: string) => void;

  constructor(
    @Inject(SETTINGS) settings: Settings,
    @Inject(Registry) registry: Registry,
    private readonly health: Health,
    private readonly shutdown: GracefulShutdown,
  ) {
    this.timeoutMs = settings.stallTimeoutMs;
    this.gaveUp = new Promise((resolve) => (this.giveUp = resolve));
    this.restarts = new Counter({
      name: 'subscription_sync_restarts_total',
      help: 'Parts of the process restarted because they were behind and got nothing done',
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
    return this.verdict === undefined ? Promise.resolve({}) : Promise.reject(new Error(this.verdict));
  }

  private async watch(part: WatchedPart): Promise<void> {
    const { signal } = this.stopping;
    const everyMs = Math.min(Math.max(this.timeoutMs / 10, POLL_INTERVAL_MS.often), POLL_INTERVAL_MS.seldom);
    let progress: string | undefined;
    const stall = new StallDetector(this.timeoutMs, everyMs);
    while (!signal.aborted && this.verdict === undefined) {
      await delay(everyMs, undefined, { signal }).catch(() => undefined);
      // Asking costs the dependencies something, and is needless where something moves.
      const moved = part.progress() !== progress;
      progress = part.progress();
      const behind = !moved && !this.shutdown.stopping && (await this.isBehind(part));
      const remedy = stall.observe({ now: performance.now(), progress: part.progress(), behind });
      if (remedy === 'restart') await this.restart(part);
      if (remedy === 'give-up') this.end(part);
    }
  }

  private async isBehind(part: WatchedPart): Promise<boolean> {
    try {
      return await Promise.race([part.isBehind(), delay(CHECK_TIMEOUT_MS, false, { ref: false })]);
    } catch {
      return false;
    }
  }

  private async restart(part: WatchedPart): Promise<void> {
    this.restarts.inc({ part: part.name });
    this.logger.error(`${part.name} is behind and got nothing done for ${this.timeoutMs} ms. It is restarted.`);
    try {
      await Promise.race([part.restart(), delay(RESTART_TIMEOUT_MS, undefined, { ref: false })]);
    } catch (error) {
      this.logger.error(`${part.name} could not be restarted: ${(error as Error).message}`);
    }
  }

  private end(part: WatchedPart): void {
    const since = new Date(Date.now() - 2 * this.timeoutMs).toISOString();
    this.verdict = `${part.name} is behind and got nothing done since ${since}, although it was restarted`;
    this.logger.fatal(`${this.verdict}. The process ends, so that a new one begins anew. Nothing is lost.`);
    this.giveUp(this.verdict);
  }
}

/** What the watchdog sees of a part at one moment. */
interface Sample {
  /** ms, of a clock that never goes back. */
  readonly now: number;
  /** Anything that is another value as soon as the part got something done. */
  readonly progress: string;
  /** Whether work waits for the part while nothing known stands in its way. */
  readonly behind: boolean;
}

export type Remedy = 'none' | 'restart' | 'give-up';

/**
 * Decides when a part has stalled: it was behind at every look for `timeoutMs`, and got nothing done. First it is to be restarted;
 * when it stays like that for as long again, to be given up.
 *
 * Time between two looks counts only as far as looks usually are apart (`everyMs`): a process that was stopped, or a machine that
 * slept, wakes up with parts that had no time to do anything.
 */
export class StallDetector {
  private last: Sample | undefined;
  private stalledMs = 0;
  private restarted = false;

  constructor(
    private readonly timeoutMs: number,
    private readonly everyMs: number,
  ) {}

  observe(look: Sample): Remedy {
    const { last } = this;
    this.last = look;
    if (!last?.behind || !look.behind || look.progress !== last.progress) {
      this.stalledMs = 0;
      this.restarted = false;
      return 'none';
    }
    this.stalledMs += Math.min(look.now - last.now, 2 * this.everyMs);
    if (this.stalledMs < this.timeoutMs) return 'none';
    this.stalledMs = 0;
    if (this.restarted) return 'give-up';
    this.restarted = true;
    return 'restart';
  }
}

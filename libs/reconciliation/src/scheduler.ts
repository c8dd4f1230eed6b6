import { setTimeout as delay } from 'node:timers/promises';
import { ConflictException, Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { SETTINGS, type KafkaSettings, type Settings } from '#config';
import { type Database, DB1, DB2 } from '#postgres';
import { Backfill } from './backfill.js';
import { Comparison, type ComparisonDependencies } from './comparison.js';
import { clearGaps } from './gaps.js';
import { openRunForGaps, WHAT_HAPPENED } from './open-run-for-gaps.js';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import { ALL_ROWS, Interrupted, type Outcome, type Progress, type Run, Runs, type RunRequest, UNDER_WAY } from './runs.js';
import { Throttle } from './throttle.js';

/** How often the chain is looked at, at least, and after an error. */
const POLL_INTERVAL_MS = 5_000;
/** How often runs are looked for that other processes were asked for. */
const CLAIM_EVERY_MS = 1_000;
const RENEW_EVERY_MS = 5_000;
const FIRST_AFTER_S = 60;
/** Emails that were changed lately are compared so many times between two passes over all, but not more often than every 5 s. */
const CHANGED_TIMES = 15;
/** Passes, and what they found, are kept so long. */
const KEPT_DAYS = 30;

/**
 * Compares both databases every RECONCILE_INTERVAL, and repairs what differs. Looks all the time whether the chain DB1 → Kafka → DB2
 * still holds, and where it does not, compares them at once, so that DB2 ends as DB1 is. Runs beside the sync role where DB2 is configured; one process at a time works on a pass.
 */
@Injectable()
export class RunScheduler implements OnApplicationBootstrap {
  private readonly logger = new Logger('reconciliation');
  private readonly stopping = new AbortController();
  private readonly kafka: KafkaSettings;
  private readonly settings: Settings['reconcile'];
  private readonly runs: Runs;
  private readonly traffic: Throttle;
  private readonly startedAt = performance.now();
  private running: Promise<void> | undefined;
  private problem: string | undefined;
  private failures = 0;
  private current: Progress | undefined;
  /** Ends the pause between two looks. */
  private wake = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    private readonly metrics: ReconciliationMetrics,
  ) {
    this.kafka = settings.kafka!;
    this.settings = settings.reconcile;
    this.runs = new Runs(db1.dataSource);
    this.traffic = new Throttle(db1.dataSource, db2.dataSource, this.kafka);
  }

  /**
   * Asks for a run. @returns its id.
   * @throws ConflictException while one is unfinished and not paused.
   */
  async request(task: Partial<RunRequest>): Promise<number> {
    const id = await this.db1.transaction((manager) => this.runs.open({ ...ALL_ROWS, ...task }, 0, manager));
    if (id === undefined) throw new ConflictException(UNDER_WAY);
    this.noticeSoon();
    return id;
  }

  /** A run was asked for, or resumed. */
  noticeSoon(): void {
    this.wake.abort();
  }

  /** For health: no email in it. */
  report(): Record<string, unknown> {
    if (this.problem !== undefined) throw new Error(this.problem);
    if (!this.current) return { state: 'watching' };
    const { compared, differing, repaired } = this.current;
    return { state: 'comparing', compared, differing, repaired };
  }

  onApplicationBootstrap(): void {
    this.running = this.watch(this.stopping.signal);
  }

  /** Another process may go on with the pass at once. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error('The process is stopping'));
    await this.running;
  }

  private async watch(signal: AbortSignal): Promise<void> {
    await Promise.all([this.db1.ready, this.db2.ready]).catch(() => undefined);
    const lookEveryMs = Math.min(POLL_INTERVAL_MS, this.settings.intervalS * 1_000 || Infinity);
    let lookAt = 0;
    while (!signal.aborted) {
      const looks = performance.now() >= lookAt;
      let pause = CLAIM_EVERY_MS;
      try {
        if (looks) {
          lookAt = performance.now() + lookEveryMs;
          await this.look();
          await this.schedule();
        }
        const run = await this.runs.claim();
        if (run) await this.work(run, signal);
        if (looks) {
          this.problem = undefined;
          this.failures = 0;
        }
      } catch (error) {
        if (!signal.aborted) this.note((error as Error).message);
        pause = POLL_INTERVAL_MS;
      }
      await delay(pause, undefined, { signal: AbortSignal.any([signal, this.wake.signal]) }).catch(() => undefined);
      this.wake = new AbortController();
    }
    await this.runs.giveBack().catch(() => undefined);
  }

  /** Once is no news (a group's coordinator moves), and the same again is not worth a line. */
  private note(problem: string): void {
    this.failures += 1;
    if (this.failures === 1) {
      this.logger.debug(`DB1 and DB2 can't be compared now: ${problem}`);
      return;
    }
    if (problem !== this.problem)
      this.logger.warn(`DB1 and DB2 can't be compared now: ${problem}. Trying again every ${POLL_INTERVAL_MS / 1_000} s.`);
    this.problem = problem;
  }

  private async look(): Promise<void> {
    for (const found of await openRunForGaps(this.db1.dataSource, this.db2.dataSource, this.kafka, this.runs)) {
      this.metrics.broken(found);
      this.logger.error(`${WHAT_HAPPENED[found]}. All rows are compared, and DB2 is made as DB1 is now.`);
    }
  }

  /** Not in the first minute: a process that starts has other things to do. */
  private async schedule(): Promise<void> {
    const { intervalS, repair, repairAtMost, load } = this.settings;
    if (intervalS === 0 || performance.now() - this.startedAt < Math.min(intervalS, FIRST_AFTER_S) * 1_000) return;
    const task = { ...ALL_ROWS, reason: 'scheduled', repair, repair_limit: repairAtMost, load };
    const opened =
      (await this.runs.open(task, intervalS)) ??
      (await this.runs.open({ ...task, scope: 'changed' }, Math.ceil(intervalS / CHANGED_TIMES)));
    if (opened !== undefined) await this.runs.prune(KEPT_DAYS);
  }

  private async work(run: Run, signal: AbortSignal): Promise<void> {
    this.current = run;
    this.metrics.began(run);
    // Settling may take longer than the lease.
    const lost = new AbortController();
    const renewal = setInterval(
      () => void this.runs.renew(run, this.current ?? run).catch((error: unknown) => lost.abort(error)),
      RENEW_EVERY_MS,
    );
    const ended = AbortSignal.any([signal, lost.signal]);
    const parts: ComparisonDependencies = {
      db1: this.db1.dataSource,
      db2: this.db2.dataSource,
      kafka: this.kafka,
      signal: ended,
      whenIdle: () => this.traffic.whenCaughtUp(ended),
      onFound: (differences) => this.metrics.found(differences),
      onRepaired: (causes) => this.metrics.repaired(causes),
      report: async (progress) => {
        this.metrics.progressed(progress);
        this.current = progress;
        await this.runs.renew(run, progress);
      },
    };
    try {
      const outcome = await (run.kind === 'compare' ? new Comparison(run, parts) : new Backfill(run, parts)).finish();
      await clearGaps(this.db2.dataSource, this.kafka, run.evidence);
      await this.runs.finish(run, outcome);
      this.tell(run, outcome, this.current);
    } catch (error) {
      const why: unknown = lost.signal.aborted ? lost.signal.reason : error;
      if (!(why instanceof Interrupted)) throw error;
      await this.interrupt(run, why);
    } finally {
      clearInterval(renewal);
      this.current = undefined;
      this.metrics.rested();
    }
  }

  private async interrupt(run: Run, { by }: Interrupted): Promise<void> {
    if (by === 'cancel') await this.runs.finish(run, 'cancelled');
    else await this.runs.giveBack();
    this.logger.log(`Run ${run.id} (${run.reason}) was ${by === 'cancel' ? 'cancelled' : 'paused'}`);
  }

  private tell({ id, reason, repair_limit: atMost }: Run, outcome: Outcome, { compared, differing, repaired }: Progress): void {
    const told = `Run ${id} (${reason}) went over ${compared} rows: ${differing} differed, ${repaired} were repaired`;
    if (outcome === 'equal' || outcome === 'repaired' || outcome === 'resynced') this.logger.log(told);
    else if (outcome === 'differs') this.logger.warn(`${told}. DB1.reconciliation_differences has the others.`);
    else {
      this.logger.error(
        `${told}. More than ${atMost} differ, so no more were: look at DB1.reconciliation_differences, then ask for a pass that repairs them all, or raise RECONCILE_REPAIR_AT_MOST.`,
      );
    }
  }
}

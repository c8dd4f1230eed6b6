import { once } from 'node:events';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import {
  type KafkaSettings,
  type MappingSettings,
  type KafkaTimings,
  type ReconciliationTimings,
  retry,
  SETTINGS,
  type Settings,
  sleep,
  TIMINGS,
  type Timings,
} from '#config';
import { type Database, DB1, DB2 } from '#postgres';
import { ReplicaTable, storeCapturedChange } from '#replica';
import { PublisherFactory, Relay } from '#sync';
import { Backfill, type BackfillDependencies } from './backfill.js';
import { isFullRunCheaper } from './choose-scope.js';
import { Comparison } from './comparison.js';
import { clearGaps, coversGaps, findRunForGaps, forgetUnknownVersions, joinRuns, type RunForGaps } from './gaps.js';
import { causeOf, type Difference } from './recheck-rows.js';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import { RunLog } from './run-log.js';
import { Interrupted, type Progress, type Run, Runs, SCHEDULED } from './runs.js';
import { describeTables } from './row-fingerprint.js';
import { Throttle } from './throttle.js';
import { findTypeDifferences } from './type-differences.js';

/** Number of runs over changed emails between two runs over all rows; at intervals of `checkIntervalMs` (5 s) at least. */
const CHANGED_RUNS_PER_INTERVAL = 15;
/** Pauses between attempts of the check that a new capture session waits for. */
const CONTINUITY_RETRY = { firstMs: 50, longestMs: 500 };
/** Words of the log for a run that was interrupted. */
/** Retention (days) of runs and their differences. */
const RETENTION_DAYS = 30;

/**
 * Opens a run every RECONCILE_INTERVAL that compares both databases and repairs what differs, and works on all runs. Checks all the time
 * for gaps in the chain DB1 → Kafka → DB2, and before each capture session publishes, and compares all rows at once when it finds one,
 * so that DB2 ends equal to DB1. Belongs to the sync role, where DB2 is configured. One process at a time works on a run.
 */
@Injectable()
export class RunScheduler implements OnApplicationBootstrap {
  private readonly logger = new Logger('reconciliation');
  private readonly log = new RunLog();
  private readonly stopping = new AbortController();
  private readonly kafka: KafkaSettings;
  private readonly mapping: MappingSettings;
  private readonly settings: Settings['reconcile'];
  private readonly timings: ReconciliationTimings;
  private readonly kafkaTimings: KafkaTimings;
  private readonly startedAt = performance.now();
  private running: Promise<void> | undefined;
  private problem: string | undefined;
  private failures = 0;
  private current: Progress | undefined;
  /** Checks for gaps are made one after another: two at once would open two runs for one gap. */
  private lastCheck: Promise<void> = Promise.resolve();
  /** The run for gaps that were found during another run. The next changes may cover the evidence, so it is kept here. */
  private postponed: RunForGaps | undefined;
  /** Version of the change that was stored last; see `storeCaptured`. */
  private storedVersion = 0;
  /** Ends the pause before the next check. */
  private wake = new AbortController();

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    @Inject(SETTINGS) settings: Settings,
    @Inject(TIMINGS) timings: Timings,
    private readonly runs: Runs,
    private readonly table: ReplicaTable,
    private readonly publishers: PublisherFactory,
    private readonly throttle: Throttle,
    private readonly relay: Relay,
    private readonly metrics: ReconciliationMetrics,
  ) {
    this.kafka = settings.kafka!;
    this.mapping = settings.mapping;
    this.settings = settings.reconcile;
    this.timings = timings.reconciliation;
    this.kafkaTimings = timings.kafka;
    relay.beforePublishing = (signal) => this.checkBeforePublishing(signal);
  }

  onApplicationBootstrap(): void {
    this.running = this.watch(this.stopping.signal);
  }

  /** Stops working. Another process may continue the run at once. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error('The process is stopping'));
    await this.running;
  }

  /** Checks for a requested or resumed run at once, instead of within `claimIntervalMs`. */
  noticeSoon(): void {
    this.wake.abort();
  }

  /** The state for the health check; it contains no email. @throws Error while the databases cannot be compared. */
  report(): Record<string, unknown> {
    if (this.problem !== undefined) throw new Error(this.problem);
    if (!this.current) return { state: 'watching' };
    const { compared, differing, repaired } = this.current;
    return { state: 'comparing', compared, differing, repaired };
  }

  private async watch(signal: AbortSignal): Promise<void> {
    await Promise.all([this.db1.ready, this.db2.ready]).catch(() => undefined);
    await this.reportTypeDifferences().catch((error: unknown) => this.noteProblem((error as Error).message));
    const { checkIntervalMs, claimIntervalMs } = this.timings;
    const intervalMs = Math.min(checkIntervalMs, this.settings.intervalS * 1_000 || Infinity);
    let checkAt = 0;
    while (!signal.aborted) {
      const isCheckDue = performance.now() >= checkAt;
      let pauseMs = claimIntervalMs;
      try {
        await this.runs.continueYielded();
        if (isCheckDue) {
          checkAt = performance.now() + intervalMs;
          await this.checkContinuity();
          await this.startFirstBackfill();
          await this.schedule();
        }
        const run = await this.runs.claim();
        if (run) await this.work(await this.chooseScope(run), signal);
        if (run && this.postponed) checkAt = 0;
        if (isCheckDue) {
          this.problem = undefined;
          this.failures = 0;
        }
      } catch (error) {
        if (!signal.aborted) this.noteProblem((error as Error).message);
        pauseMs = checkIntervalMs;
      }
      await sleep(pauseMs, AbortSignal.any([signal, this.wake.signal]));
      this.wake = new AbortController();
    }
    await this.runs.giveBack().catch(() => undefined);
    await this.storeCapturedAtEnd();
  }

  /** Warns of values that Database 2 will refuse or change, before there are any. Both tables work: their owners may have meant it. */
  private async reportTypeDifferences(): Promise<void> {
    if (this.stopping.signal.aborted) return;
    const { dataSource: db1 } = this.db1;
    const { dataSource: db2 } = this.db2;
    for (const message of await findTypeDifferences(db1, db2, await describeTables(db1, db2, this.mapping))) {
      this.logger.warn({ code: 'column-types-differ', message });
    }
  }

  /** A single failure is normal (a group's coordinator moves), and a repeated one is logged once. */
  private noteProblem(problem: string): void {
    this.failures += 1;
    if (this.failures === 1) {
      this.logger.debug(`DB1 and DB2 cannot be compared now: ${problem}`);
      return;
    }
    if (problem !== this.problem) {
      const retryS = this.timings.checkIntervalMs / 1_000;
      this.logger.warn({
        code: 'comparison-impossible',
        message: `DB1 and DB2 cannot be compared now: ${problem}. Trying again every ${retryS} s.`,
      });
    }
    this.problem = problem;
  }

  /**
   * Checks for gaps before a capture session publishes: the first changes of a restored DB1 would replace the evidence that DB2 has changes
   * which DB1 lost. Gives up after `continuityTimeoutMs`, because DB2 or Kafka may be down for long.
   */
  private async checkBeforePublishing(signal: AbortSignal): Promise<void> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), this.timings.continuityTimeoutMs);
    const ended = AbortSignal.any([signal, timeout.signal]);
    const check = retry(() => this.checkContinuity(), { backoff: CONTINUITY_RETRY, signal: ended, onFailure: () => undefined });
    await Promise.race([check, once(ended, 'abort')]).catch(() => undefined);
    clearTimeout(timer);
  }

  private checkContinuity(): Promise<void> {
    const check = this.lastCheck.catch(() => undefined).then(() => this.openRunForGaps());
    this.lastCheck = check;
    return check;
  }

  /**
   * Stores in DB2 how far this process has read DB1's log: the evidence by which a DB1 that has lost changes is told from a topic that has
   * records of another program. Each change is stored once: a run forgets the one that DB1 has lost.
   */
  private async storeCaptured(): Promise<void> {
    const { highestCaptured } = this.relay;
    if (!highestCaptured || highestCaptured.version === this.storedVersion) return;
    const { version, occurredAt } = highestCaptured;
    await storeCapturedChange(this.db2.dataSource, this.kafka.topic, { version, version_time: occurredAt });
    this.storedVersion = version;
  }

  /** Does not keep the process from ending while DB2 does not answer: the change that was stored last is a few seconds old. */
  private async storeCapturedAtEnd(): Promise<void> {
    const stored = new AbortController();
    const store = this.storeCaptured()
      .catch(() => undefined)
      .finally(() => stored.abort());
    await Promise.race([store, sleep(this.timings.continuityTimeoutMs, stored.signal)]);
  }

  private async openRunForGaps(): Promise<void> {
    await this.storeCaptured();
    const found = await findRunForGaps(this.db1.dataSource, this.db2.dataSource, this.kafka, this.kafkaTimings);
    const run = joinRuns(this.postponed, found);
    if (!run) return;
    if ((await this.runs.open(run)) === undefined) {
      const unfinished = await this.runs.unfinishedEvidence();
      const unlessCovered = (one: RunForGaps | undefined): RunForGaps | undefined =>
        one && unfinished && coversGaps(unfinished, one.evidence) ? undefined : one;
      this.postponed = joinRuns(unlessCovered(this.postponed), unlessCovered(found));
      return;
    }
    this.postponed = undefined;
    for (const gap of run.gaps) {
      this.metrics.gapFound(gap);
      this.log.gapFound(gap);
    }
  }

  private async startFirstBackfill(): Promise<void> {
    const { repair, repairLimit } = this.settings;
    if (await this.runs.openFirstBackfill({ repair, repair_limit: repairLimit })) this.log.firstBackfill();
  }

  /** Opens a run when one is due. Not in the first minute of a process, which has other work then. */
  private async schedule(): Promise<void> {
    const { intervalS, repair, repairLimit, load } = this.settings;
    if (intervalS === 0 || performance.now() - this.startedAt < Math.min(intervalS * 1_000, this.timings.firstRunDelayMs)) return;
    const request = { reason: SCHEDULED, repair, repair_limit: repairLimit, load };
    const opened =
      (await this.runs.open(request, intervalS)) ??
      (await this.runs.open({ ...request, scope: 'changed' }, Math.ceil(intervalS / CHANGED_RUNS_PER_INTERVAL)));
    if (opened !== undefined) await this.runs.prune(RETENTION_DAYS);
  }

  private async chooseScope(run: Run): Promise<Run> {
    if (!(await isFullRunCheaper(this.db1.dataSource, this.db1.table, run))) return run;
    this.log.widened(run);
    return this.runs.widen(run);
  }

  private async work(run: Run, signal: AbortSignal): Promise<void> {
    this.current = run;
    this.metrics.started(run);
    // Waiting for the stream may take longer than the lease.
    const lost = new AbortController();
    const renewal = setInterval(
      () => void this.runs.renew(run, this.current ?? run).catch((error: unknown) => lost.abort(error)),
      this.timings.runLeaseRenewMs,
    );
    const ended = AbortSignal.any([signal, lost.signal]);
    const parts: BackfillDependencies = {
      db1: this.db1.dataSource,
      db2: this.db2.dataSource,
      tables: await describeTables(this.db1.dataSource, this.db2.dataSource, this.mapping),
      kafka: this.kafka,
      table: this.table,
      publishers: this.publishers,
      storeLabel: (label) => this.runs.storeLabel(run, label),
      signal: ended,
      timings: this.timings,
      kafkaTimings: this.kafkaTimings,
      whenCaughtUp: () => this.throttle.whenCaughtUp(ended),
      onFound: (differences) => this.noteFound(differences),
      onRepaired: (causes) => this.metrics.repaired(causes),
      report: async (progress) => {
        this.metrics.progressed(progress);
        this.current = progress;
        await this.runs.renew(run, progress);
      },
    };
    try {
      await forgetUnknownVersions(this.db1.dataSource, this.db2.dataSource, this.kafka, run.evidence);
      const outcome = await (run.kind === 'compare' ? new Comparison(run, parts) : new Backfill(run, parts)).finish();
      await clearGaps(this.db2.dataSource, this.kafka, run.evidence);
      await this.runs.finish(run, outcome);
      this.log.ended(run, outcome, this.current);
    } catch (error) {
      const reason: unknown = lost.signal.aborted ? lost.signal.reason : error;
      if (!(reason instanceof Interrupted)) throw error;
      await this.interrupt(run, reason);
    } finally {
      clearInterval(renewal);
      this.current = undefined;
      this.metrics.ended();
    }
  }

  private noteFound(differences: readonly Difference[]): void {
    this.metrics.found(differences);
    const foreign = differences.filter((difference) => causeOf(difference) === 'foreign').length;
    if (foreign > 0) this.log.foreignVersions(foreign);
  }

  private async interrupt(run: Run, { by }: Interrupted): Promise<void> {
    if (by === 'cancel') await this.runs.finish(run, 'cancelled');
    else await this.runs.giveBack();
    this.log.interrupted(run, by);
  }
}

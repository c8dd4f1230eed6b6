import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { KafkaSettings, Settings } from '#config';
import { DB1, DB2, type Database } from '#databases';
import { findBreaks, type ChainBreak } from './continuity.js';
import { observe } from './observe-continuity.js';
import { Pass } from './pass.js';
import { ReconciliationMetrics } from './reconciliation-metrics.js';
import { drawAbove } from './repair.js';
import { Runs, type Progress, type Run } from './runs.js';
import { settleEvidence } from './settle-evidence.js';

const LOOK_EVERY_MS = 5_000;
const RENEW_EVERY_MS = 5_000;

const WHAT_HAPPENED: Readonly<Record<ChainBreak, string>> = {
  db1_lost_changes: 'DB2 has changes that DB1 does not know: DB1 was restored to an earlier state, or is a standby that lost its tail',
  db2_lost_changes: 'DB2 lacks changes that it had: it was restored to an earlier state',
  topic_lost_records: 'The topic lost records before they were read: it was deleted, or they expired',
};

/**
 * Looks whether the chain DB1 → Kafka → DB2 still holds, and where it does not, compares both databases and repairs what differs, so
 * that DB2 ends as DB1 is. Runs beside the sync role where DB2 is configured; one process at a time works on a pass.
 */
@Injectable()
export class Reconciler implements OnApplicationBootstrap {
  private readonly logger = new Logger('reconciliation');
  private readonly stopping = new AbortController();
  private readonly kafka: KafkaSettings;
  private readonly runs: Runs;
  private running: Promise<void> | undefined;
  private problem: string | undefined;
  private failures = 0;
  private current: Progress | undefined;

  constructor(
    @Inject(DB1) private readonly db1: Database,
    @Inject(DB2) private readonly db2: Database,
    config: ConfigService<Settings, true>,
    private readonly metrics: ReconciliationMetrics,
  ) {
    this.kafka = config.get('kafka', { infer: true })!;
    this.runs = new Runs(db1.dataSource);
  }

  /** For health: no email in it. */
  report(): Record<string, unknown> {
    if (this.problem !== undefined) throw new Error(this.problem);
    return this.current ? { state: 'comparing', compared: this.current.compared, repaired: this.current.repaired } : { state: 'watching' };
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
    while (!signal.aborted) {
      try {
        await this.look();
        const run = await this.runs.claim();
        if (run) await this.work(run, signal);
        this.problem = undefined;
        this.failures = 0;
      } catch (error) {
        if (!signal.aborted) this.note((error as Error).message);
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await this.runs.giveBack().catch(() => undefined);
  }

  /** Once is no news (a group's coordinator moves), and the same again is not worth a line. */
  private note(problem: string): void {
    this.failures += 1;
    if (this.failures === 1) return;
    if (problem !== this.problem)
      this.logger.warn(`DB1 and DB2 can't be compared now: ${problem}. Trying again every ${LOOK_EVERY_MS / 1_000} s.`);
    this.problem = problem;
  }

  private async look(): Promise<void> {
    const observation = await observe(this.db1.dataSource, this.db2.dataSource, this.kafka);
    const breaks = findBreaks(observation.partitions, observation.sequence);
    if (breaks.length === 0) return;
    // At once: what DB1 draws below DB2's versions until then is guarded away, and a row that is made anew would be missing.
    await drawAbove(this.db1.dataSource, Math.max(...observation.partitions.map(({ version }) => version)));
    if (!(await this.runs.open(breaks.join(', '), observation))) return;
    for (const found of breaks) {
      this.metrics.broken(found);
      this.logger.error(`${WHAT_HAPPENED[found]}. All rows are compared, and DB2 is made as DB1 is now.`);
    }
  }

  private async work(run: Run, signal: AbortSignal): Promise<void> {
    this.current = run;
    // Settling may take longer than the lease.
    const lost = new AbortController();
    const renewal = setInterval(
      () => void this.runs.renew(run, this.current ?? run).catch((error: unknown) => lost.abort(error)),
      RENEW_EVERY_MS,
    );
    try {
      const pass = new Pass(run, {
        db1: this.db1.dataSource,
        db2: this.db2.dataSource,
        kafka: this.kafka,
        signal: AbortSignal.any([signal, lost.signal]),
        report: async (progress) => {
          this.metrics.progressed(run.id, progress);
          this.current = progress;
          await this.runs.renew(run, progress);
        },
      });
      const unmended = await pass.finish();
      await settleEvidence(this.db2.dataSource, this.kafka, run.evidence);
      await this.runs.finish(run);
      this.logger.log(`Compared ${this.current.compared} rows (${run.reason}) and repaired ${this.current.repaired}`);
      if (unmended > 0) this.logger.warn(`${unmended} rows changed all the while, or could not be made equal`);
    } finally {
      clearInterval(renewal);
      this.current = undefined;
    }
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { lastEmail } from './compare-range.js';
import { Comparison, type ComparisonDependencies } from './comparison.js';
import { CopyRows } from './copy-rows.js';
import { PublishRows } from './publish-rows.js';
import { ensureEmailIndexes } from './row-fingerprint.js';
import type { Outcome, Progress, Run } from './runs.js';

const REPORT_EVERY_MS = 250;

/**
 * Backfill: brings every row of a range to DB2, then compares the range and repairs what still differs: rows that somebody wrote to
 * DB2, or that only DB2 has. Rows are copied; or published anew, for all readers of the topic (ADR 19).
 */
export class Backfill {
  private progress: Progress;
  private readonly started = performance.now();
  private doneHere = 0;
  private reportedAt = -Infinity;

  constructor(
    private readonly run: Run,
    private readonly parts: ComparisonDependencies,
  ) {
    const { position, compared, differing, repaired } = run;
    this.progress = { position, compared, in_flight: 0, differing, repaired };
  }

  async finish(): Promise<Outcome> {
    const { db1, db2 } = this.parts;
    await ensureEmailIndexes(db1, db2);
    const until = this.run.until_email ?? (await lastEmail([db1, db2]));
    if (until !== undefined && this.progress.position !== until) await this.bringAll(until);
    return this.compare();
  }

  private async bringAll(until: string): Promise<void> {
    const { db1, db2, kafka, signal, report, whenIdle } = this.parts;
    const { reason, kind } = this.run;
    const replay = new PublishRows(db1, db2, kafka, signal);
    // What DB2 refuses becomes a dead letter on the usual way.
    const copy = new CopyRows(db1, db2, async (from, to) => {
      for await (const _ of replay.rows(from, to, reason));
    });
    const { position } = this.progress;
    const steps = kind === 'republish' ? replay.rows(position, until, reason) : copy.rows(position, until);
    try {
      for await (const { last, rows } of steps) {
        this.progress = { ...this.progress, position: last, compared: this.progress.compared + rows };
        this.doneHere += rows;
        await this.reportNowAndThen();
        await this.keepToRate();
        await whenIdle();
      }
    } finally {
      await replay.close();
    }
    this.progress = { ...this.progress, position: until };
    await report(this.progress);
  }

  /** From its beginning, also when another process had begun with it: it takes a small part of the time. */
  private async compare(): Promise<Outcome> {
    const { position, compared } = this.progress;
    const { after_email: after, differing, repaired } = this.run;
    const pass = new Comparison(
      { ...this.run, position: after, compared: 0, differing, repaired },
      {
        ...this.parts,
        // How many rows there were, and that all were brought, stays what is told of the run.
        report: (progress) => this.parts.report({ ...progress, position, compared }),
      },
    );
    const outcome = await pass.finish();
    return outcome === 'differs' ? outcome : 'resynced';
  }

  /** Each time is a commit in DB1. */
  private async reportNowAndThen(): Promise<void> {
    if (performance.now() - this.reportedAt < REPORT_EVERY_MS) return;
    await this.parts.report(this.progress);
    this.reportedAt = performance.now();
  }

  private async keepToRate(): Promise<void> {
    const { rate } = this.run;
    if (rate === null) return;
    const due = this.started + (this.doneHere / rate) * 1_000;
    await delay(Math.max(0, due - performance.now()), undefined, { signal: this.parts.signal });
  }
}

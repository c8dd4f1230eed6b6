import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicaTable } from '#replica';
import type { PublisherFactory } from '#sync';
import { lastEmail } from './compare-range.js';
import { Comparison, type ComparisonDependencies } from './comparison.js';
import { CopyRows } from './copy-rows.js';
import { PublishRows } from './publish-rows.js';
import { orderedRows } from './row-fingerprint.js';
import type { Outcome, Progress, Run } from './runs.js';

/** Dependencies of a backfill. */
export interface BackfillDependencies extends ComparisonDependencies {
  readonly table: ReplicaTable;
  readonly publishers: PublisherFactory;
}

/**
 * Copies every row of a range to DB2, then compares the range and repairs what still differs: rows that another program wrote to DB2,
 * or that only DB2 has. Rows are copied or, for all readers of the topic, published again (ADR 19).
 */
export class Backfill {
  private progress: Progress;
  private readonly started = performance.now();
  /** Number of rows that this process has copied. */
  private copied = 0;
  private reportedAt = -Infinity;

  constructor(
    private readonly run: Run,
    private readonly parts: BackfillDependencies,
  ) {
    const { position, compared, differing, repaired } = run;
    this.progress = { position, compared, in_flight: 0, differing, repaired };
  }

  async finish(): Promise<Outcome> {
    const { db1, db2 } = this.parts;
    // Also for a range: the rows are copied in the order of DB1's index.
    const rows = await orderedRows(db1, db2);
    const until = this.run.until_email ?? (await lastEmail(rows));
    if (until !== undefined && this.progress.position !== until) await this.bringRows(until);
    return this.compare();
  }

  private async bringRows(until: string): Promise<void> {
    const { db1, db2, kafka, table, publishers, signal, report, whenCaughtUp, timings } = this.parts;
    const { reason, kind } = this.run;
    const publish = new PublishRows(db1, db2, kafka, publishers.create(), timings, signal);
    // The replica halves a refused batch when it reads it from the topic: each refused row becomes a dead letter there.
    const copy = new CopyRows(db1, db2, table, async (from, to) => {
      for await (const _ of publish.rows(from, to, reason));
    });
    const { position } = this.progress;
    const steps = kind === 'republish' ? publish.rows(position, until, reason) : copy.rows(position, until);
    try {
      for await (const { last, rows } of steps) {
        this.progress = { ...this.progress, position: last, compared: this.progress.compared + rows };
        this.copied += rows;
        await this.reportWhenDue();
        await this.keepToRate();
        await whenCaughtUp();
      }
    } finally {
      await publish.close();
    }
    this.progress = { ...this.progress, position: until };
    await report(this.progress);
  }

  /** Compares the whole range, even when another process had started to: it takes a small part of the time. */
  private async compare(): Promise<Outcome> {
    const { position, compared } = this.progress;
    const { after_email: after, differing, repaired } = this.run;
    const comparison = new Comparison(
      { ...this.run, position: after, compared: 0, differing, repaired },
      {
        ...this.parts,
        // The run keeps reporting how many rows were copied, and that all of them were.
        report: (progress) => this.parts.report({ ...progress, position, compared }),
      },
    );
    const outcome = await comparison.finish();
    return outcome === 'differs' ? outcome : 'resynced';
  }

  /** Reports at intervals: each report is a commit in DB1. */
  private async reportWhenDue(): Promise<void> {
    if (performance.now() - this.reportedAt < this.parts.timings.progressIntervalMs) return;
    await this.parts.report(this.progress);
    this.reportedAt = performance.now();
  }

  private async keepToRate(): Promise<void> {
    const { rate } = this.run;
    if (rate === null) return;
    const due = this.started + (this.copied / rate) * 1_000;
    await delay(Math.max(0, due - performance.now()), undefined, { signal: this.parts.signal });
  }
}

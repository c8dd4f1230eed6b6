import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { MappingSettings } from '#config';
import { selectChange } from '#change-log';
import { CANARY_EMAIL } from '#events';
import type { ReplicaTable } from '#replica';
import type { PublisherFactory } from '#sync';
import { canaryRow } from './canary.js';
import { lastEmail } from './compare-range.js';
import { Comparison, type ComparisonDependencies } from './comparison.js';
import { CopyRows } from './copy-rows.js';
import { PublishRows } from './publish-rows.js';
import { haveWritersEnded } from './repair.js';
import { orderedRows, type RowSource } from './row-fingerprint.js';
import type { Label, Outcome, Progress, Run } from './runs.js';

/** Dependencies of a backfill. */
export interface BackfillDependencies extends ComparisonDependencies {
  readonly table: ReplicaTable;
  readonly publishers: PublisherFactory;
  readonly storeLabel: (label: Label) => Promise<void>;
}

/**
 * Copies every row of a range to DB2, then compares the range and repairs what still differs: rows that another program wrote to DB2,
 * or that only DB2 has. Rows are copied or, for all readers of the topic, published again.
 *
 * All rows are copied with one version, the label, which is drawn first. Then every transaction that was writing has to end: what it wrote
 * with a lower version is visible to the copy, and any later change has a higher version and wins, deletions included (ADR 19).
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
    const { db1, db2, tables } = this.parts;
    // Also for a range: the rows are copied in the order of DB1's index.
    const rows = await orderedRows(db1, db2, tables);
    const until = this.run.until_email ?? (await lastEmail(rows));
    if (until !== undefined && this.progress.position !== until) await this.bringRows(rows[0].source, until);
    return this.compare();
  }

  private async bringRows(source: RowSource, until: string): Promise<void> {
    const { db1, db2, tables, kafka, table, publishers, signal, report, whenCaughtUp, timings } = this.parts;
    const { reason, kind } = this.run;
    const label = await this.label();
    const rows = { source, table: tables.db1 };
    const publish = new PublishRows({ db1, db2, ...rows, kafka, publisher: publishers.create(), timings, signal, label, reason });
    // The replica halves a refused batch when it reads it from the topic: each refused row becomes a dead letter there.
    const copy = new CopyRows(db1, db2, table, rows, label, async (from, to) => {
      for await (const _ of publish.rows(from, to));
    });
    const { position } = this.progress;
    const steps = kind === 'republish' ? publish.rows(position, until) : copy.rows(position, until);
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

  /** Returns the label, and waits for the transactions that were writing when it was drawn. */
  private async label(): Promise<Label> {
    const { label: stored, labelled_at: storedAt } = this.run;
    const label =
      stored !== null && storedAt !== null
        ? { version: stored, drawnAt: storedAt }
        : await drawLabel(this.parts.db1, this.parts.tables.mapping);
    if (stored === null) await this.parts.storeLabel(label);
    while (!(await haveWritersEnded(this.parts))) await this.parts.report(this.progress);
    return label;
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

/**
 * Draws the label by a change of the canary, which belongs to no subscription: the log has to know each version that DB2 gets, because a
 * version that it does not know means that DB1 lost changes (gaps.ts).
 */
async function drawLabel(db1: DataSource, mapping: MappingSettings): Promise<Label> {
  return db1.transaction(async (manager) => {
    const [drawn] = await manager.query<[{ version: number }]>(`SELECT subscription_sync.append_change('deleted', $1, $2) AS version`, [
      CANARY_EMAIL,
      canaryRow(mapping),
    ]);
    const [change] = await manager.query<[{ drawn_at: string }]>(selectChange('$1', '$2', 'c.occurred_at::text AS drawn_at'), [
      CANARY_EMAIL,
      drawn.version,
    ]);
    return { version: drawn.version, drawnAt: change.drawn_at };
  });
}

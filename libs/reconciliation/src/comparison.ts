import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { changedEmails } from '#change-log';
import type { KafkaSettings } from '#config';
import { compare, lastEmail, type Side } from './compare-range.js';
import { Differences } from './differences.js';
import { type Difference, recheckRows } from './recheck-rows.js';
import { drawAbove, repair } from './repair.js';
import { ensureEmailIndexes, AdaptiveChunk, rowExpressions } from './row-fingerprint.js';
import type { Outcome, Progress, Run } from './runs.js';
import { highestApplied, waitUntilApplied } from './wait-until-applied.js';

/** Differences that are held and settled at once: each time costs a second or two. */
const HELD = 50_000;
/** How often a row is repaired: what DB2 refuses becomes a dead letter each time. */
const TRIES = 2;
/** How often differing rows are settled and looked at. A row that changes all the time is never equal, and is no difference either. */
const ROUNDS = 8;
/** What a query takes at full load, ms. With less load it is shorter, so that the pauses are, too. */
const QUERY_MS = 500;

export interface ComparisonDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly kafka: KafkaSettings;
  /** Called often: renews the lease. Rejects when it is lost, and when the run is paused or cancelled. */
  readonly report: (progress: Progress) => Promise<void>;
  /** Resolves when the stream and both databases have time for more. */
  readonly whenIdle: () => Promise<void>;
  /** Differences that are confirmed for the first time, and those that are repaired. */
  readonly onFound: (differences: readonly Difference[]) => void;
  readonly onRepaired: (causes: readonly string[]) => void;
  readonly signal: AbortSignal;
}

/**
 * Compares rows of both databases and repairs those that differ: first what has changed since the last pass, then range by range from
 * where the run stands to its end.
 *
 * A difference counts only when it outlasts the stream: everything that was committed in DB1 when it was seen has reached DB2, and the
 * row was not changed since. Until then it is in flight. Then it is kept with its cause, and repaired if the run is to, through the
 * change log (see repair.ts).
 */
export class Comparison {
  private progress: Progress;
  private tooMany = false;
  private sides!: readonly [Side, Side];
  private readonly differences: Differences;

  constructor(
    private readonly run: Run,
    private readonly parts: ComparisonDependencies,
  ) {
    const { position, compared, differing, repaired } = run;
    this.progress = { position, compared, in_flight: 0, differing, repaired };
    this.differences = new Differences(parts.db1, run.id);
  }

  async finish(): Promise<Outcome> {
    const { db1, db2 } = this.parts;
    const [row1, row2] = await rowExpressions(db1, db2);
    this.sides = [
      { database: db1, row: row1 },
      { database: db2, row: row2 },
    ];
    if (this.run.since !== null && this.progress.position === this.run.after_email) await this.lookAtChanged(this.run.since);
    if (this.run.scope === 'all') await this.compareRanges();
    if (this.run.repair) await this.lookAtUnrepaired();
    const { differing, repaired } = await this.differences.count();
    this.progress = { ...this.progress, differing, repaired };
    await this.report();
    if (this.tooMany) return 'too_many';
    if (differing === 0) return 'equal';
    return repaired === differing ? 'repaired' : 'differs';
  }

  /** Cheap, and where something is wrong with the stream it is found here. */
  private async lookAtChanged(since: string): Promise<void> {
    const differing = new Set<string>();
    for await (const emails of this.atItsLoad(changedEmails(this.parts.db1, since))) {
      for (const email of (await this.look(emails)).keys()) differing.add(email);
      if (this.run.scope === 'changed') this.progress = { ...this.progress, compared: this.progress.compared + emails.length };
      await this.report();
      if (differing.size >= HELD) await this.mend(take(differing));
    }
    await this.mend(take(differing));
  }

  /** Somebody was killed, or paused, between a repair and the look at what came of it; or a later change has made a row equal. */
  private async lookAtUnrepaired(): Promise<void> {
    for await (const emails of this.differences.unrepaired()) {
      const left = await this.look(emails);
      this.parts.onRepaired(await this.differences.repaired(emails.filter((email) => !left.has(email))));
    }
  }

  private async compareRanges(): Promise<void> {
    const { db1, db2 } = this.parts;
    await ensureEmailIndexes(db1, db2);
    const { position, ...rest } = this.progress;
    const until = this.run.until_email ?? (await lastEmail([db1, db2]));
    if (until === undefined || until === position) return;
    this.progress = { ...rest, position };
    let held: string[] = [];
    const size = new AdaptiveChunk((QUERY_MS * this.run.load) / 100);
    for await (const { last, rows, differing } of this.atItsLoad(compare(this.sides, position, until, size))) {
      this.progress = { ...this.progress, compared: this.progress.compared + rows, in_flight: held.length + differing.length };
      held.push(...differing);
      if (held.length >= HELD || last === until) {
        await this.mend(held);
        held = [];
      }
      // A process that takes over begins behind what is held.
      if (held.length === 0) this.progress = { ...this.progress, position: last };
      await this.report();
    }
  }

  /** Works for `load` percent of the time, and less when others have no time to lose. */
  private async *atItsLoad<T>(steps: AsyncGenerator<T>): AsyncGenerator<T> {
    let started = performance.now();
    for await (const step of steps) {
      yield step;
      // A repair mostly waits for the stream: that is no work to rest from.
      const worked = Math.min(performance.now() - started, QUERY_MS);
      await delay(worked * (100 / this.run.load - 1), undefined, { signal: this.parts.signal });
      await this.parts.whenIdle();
      this.parts.signal.throwIfAborted();
      started = performance.now();
    }
  }

  private async mend(emails: readonly string[]): Promise<void> {
    /** How often each that was confirmed has been repaired. */
    const tries = new Map<string, number>();
    let open = await this.look(emails);
    for (let round = 0; round < ROUNDS && open.size > 0; round += 1) {
      this.progress = { ...this.progress, in_flight: open.size };
      await this.report();
      await this.settle();
      const now = await this.look([...open.keys()]);
      const confirmed = [...now.values()].filter(({ email, state }) => open.get(email)?.state === state);
      await this.noteFound(confirmed.filter(({ email }) => !tries.has(email)));
      for (const { email } of confirmed) tries.set(email, tries.get(email) ?? 0);
      // Whoever paused or cancelled the run meanwhile does not want this.
      await this.report();
      const next = this.mayRepair ? confirmed.filter(({ email }) => tries.get(email)! < TRIES) : [];
      await repair(this.parts.db1, this.parts.db2, next, this.run.reason, this.parts.signal);
      for (const { email } of next) tries.set(email, tries.get(email)! + 1);
      await this.report();
      // What is confirmed and not repaired is done with.
      const repairedNow = new Set(next.map(({ email }) => email));
      open = await this.look([...now.keys()].filter((email) => !tries.has(email) || repairedNow.has(email)));
    }
    const left = await this.look([...tries.keys()]);
    const causes = await this.differences.repaired([...tries.keys()].filter((email) => !left.has(email)));
    this.parts.onRepaired(causes);
    this.progress = { ...this.progress, repaired: this.progress.repaired + causes.length, in_flight: 0 };
  }

  private get mayRepair(): boolean {
    return this.run.repair && !this.tooMany;
  }

  private async noteFound(found: readonly Difference[]): Promise<void> {
    const isNew = await this.differences.confirm(found);
    this.parts.onFound(found.filter(({ email }) => isNew.has(email)));
    const differing = this.progress.differing + isNew.size;
    this.progress = { ...this.progress, differing };
    this.tooMany ||= this.run.repair && this.run.repair_limit !== null && differing > this.run.repair_limit;
  }

  private async settle(): Promise<void> {
    const { db1, db2, kafka, signal } = this.parts;
    await waitUntilApplied(db1, db2, kafka, signal);
    await drawAbove(db1, await highestApplied(db2, kafka));
  }

  private look(emails: readonly string[]): Promise<Map<string, Difference>> {
    return recheckRows(this.sides, emails);
  }

  private report(): Promise<void> {
    return this.parts.report(this.progress);
  }
}

function take(emails: Set<string>): string[] {
  const all = [...emails];
  emails.clear();
  return all;
}

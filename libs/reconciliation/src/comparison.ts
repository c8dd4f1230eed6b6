import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { changedEmails, lastDrawnVersion } from '#change-log';
import type { KafkaSettings, KafkaTimings, ReconciliationTimings } from '#config';
import { appliedAbove } from '#replica';
import { AdaptiveChunk, compare, lastEmail, type Side } from './compare-range.js';
import { Differences } from './differences.js';
import { type Difference, recheckRows } from './recheck-rows.js';
import { repair } from './repair.js';
import { orderedRows, rowExpressions, type Tables } from './row-fingerprint.js';
import type { Outcome, Progress, Run } from './runs.js';
import { waitUntilApplied } from './wait-until-applied.js';

/** Maximum number of differing rows that are collected before they are confirmed: confirming costs a second or two each time. */
const MAX_COLLECTED = 50_000;
/** Maximum number of times that a row is repaired: a row that DB2 refuses becomes a dead letter each time. */
const MAX_REPAIRS = 2;
/** Maximum number of rounds of waiting and rechecking. A row that changes all the time is never equal, but is not a difference either. */
const MAX_ROUNDS = 8;
/** Intended duration (ms) of a query at full load. With less load it is shorter, and so are the pauses. */
const QUERY_MS = 500;

export interface ComparisonDependencies {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly tables: Tables;
  readonly kafka: KafkaSettings;
  readonly timings: ReconciliationTimings;
  readonly kafkaTimings: KafkaTimings;
  /** Stores the progress and renews the lease. Rejects when the lease is lost, and when the run is paused or cancelled. */
  readonly report: (progress: Progress) => Promise<void>;
  /** Resolves when the stream does not lag. */
  readonly whenCaughtUp: () => Promise<void>;
  /** Called with differences that are confirmed for the first time. */
  readonly onFound: (differences: readonly Difference[]) => void;
  /** Called with the causes of differences that are repaired. */
  readonly onRepaired: (causes: readonly string[]) => void;
  readonly signal: AbortSignal;
}

/**
 * Compares rows of both databases and repairs those that differ: first the rows that have changed since the last run, then range by
 * range from the run's position to its end.
 *
 * A difference is in flight until the stream has passed it: everything that was committed in DB1 when it was seen has reached DB2, and
 * the row has not changed since. Then it is confirmed and stored with its cause and, if the run repairs, repaired through the change
 * log (see repair.ts).
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
    const [row1, row2] = rowExpressions(this.parts.tables);
    this.sides = [
      { database: db1, row: row1 },
      { database: db2, row: row2 },
    ];
    const isNew = this.progress.position === this.run.after_email;
    // A run with a limit repairs nothing before it knows how many rows differ.
    const versionsFirst = this.run.repair_limit === null;
    if (this.run.scope === 'all' && isNew && versionsFirst) await this.compareVersions();
    if (this.run.since !== null && isNew) await this.compareChanged(this.run.since);
    if (this.run.scope === 'all') await this.compareRanges();
    if (this.run.scope === 'all' && !versionsFirst) await this.compareVersions();
    if (this.run.repair) await this.recheckUnrepaired();
    const { differing, repaired } = await this.differences.count();
    this.progress = { ...this.progress, differing, repaired };
    await this.report();
    if (this.tooMany) return 'too_many';
    if (differing === 0) return 'equal';
    return repaired === differing ? 'repaired' : 'differs';
  }

  /**
   * Finds the emails of which DB2 has a version above all that DB1 has drawn, whatever their rows: the guard would drop their next changes.
   */
  private async compareVersions(): Promise<void> {
    const { db1, db2 } = this.parts;
    const { after_email: after, until_email: until } = this.run;
    for await (const emails of this.paced(appliedAbove(db2, after, until, () => lastDrawnVersion(db1)))) {
      await this.confirmAndRepair(suspectsIn(await this.recheck(emails)));
      await this.report();
    }
  }

  /** Compares the emails that have changed. It is cheap, and finds differences that a fault of the stream causes. */
  private async compareChanged(since: string): Promise<void> {
    const differing = new Set<string>();
    for await (const emails of this.paced(changedEmails(this.parts.db1, since))) {
      for (const email of suspectsIn(await this.recheck(emails))) differing.add(email);
      if (this.run.scope === 'changed') this.progress = { ...this.progress, compared: this.progress.compared + emails.length };
      await this.report();
      if (differing.size >= MAX_COLLECTED) await this.confirmAndRepair(take(differing));
    }
    await this.confirmAndRepair(take(differing));
  }

  /**
   * Rechecks differences that are not marked as repaired: the run may have been killed or paused between a repair and its check, or a
   * later change may have made the rows equal, or be on its way.
   */
  private async recheckUnrepaired(): Promise<void> {
    for await (const emails of this.differences.unrepaired()) {
      const before = await this.recheck(emails);
      if (before.size > 0) await waitUntilApplied(this.parts);
      const left = before.size > 0 ? await this.recheck(emails) : before;
      const equal = emails.filter((email) => !left.has(email) || left.get(email)!.state !== before.get(email)?.state);
      this.parts.onRepaired(await this.differences.repaired(equal));
    }
  }

  private async compareRanges(): Promise<void> {
    const [one, two] = this.sides;
    const [rows1, rows2] = await orderedRows(one.database, two.database, this.parts.tables);
    const sides = [
      { ...one, ...rows1 },
      { ...two, ...rows2 },
    ] as const;
    const { position, ...rest } = this.progress;
    const until = this.run.until_email ?? (await lastEmail(sides));
    if (until === undefined || until === position) return;
    this.progress = { ...rest, position };
    let collected: string[] = [];
    const size = new AdaptiveChunk((QUERY_MS * this.run.load) / 100);
    for await (const { last, rows, differing } of this.paced(compare(sides, position, until, size))) {
      this.progress = { ...this.progress, compared: this.progress.compared + rows, in_flight: collected.length + differing.length };
      collected.push(...differing);
      if (collected.length >= MAX_COLLECTED || last === until) {
        await this.confirmAndRepair(collected);
        collected = [];
      }
      // A process that takes the run over begins with the differences that are only collected.
      if (collected.length === 0) this.progress = { ...this.progress, position: last };
      await this.report();
    }
  }

  /** Works for `load` percent of the time, and pauses while the stream lags. */
  private async *paced<T>(steps: AsyncGenerator<T>): AsyncGenerator<T> {
    let started = performance.now();
    for await (const step of steps) {
      yield step;
      // A repair mostly waits for the stream, which does not count as work.
      const worked = Math.min(performance.now() - started, QUERY_MS);
      await delay(worked * (100 / this.run.load - 1), undefined, { signal: this.parts.signal });
      await this.parts.whenCaughtUp();
      this.parts.signal.throwIfAborted();
      started = performance.now();
    }
  }

  private async confirmAndRepair(emails: readonly string[]): Promise<void> {
    /** Number of repairs of each confirmed difference. */
    const repairs = new Map<string, number>();
    const suspects = new Map<string, string>();
    let open = await this.recheck(emails);
    for (let round = 0; round < MAX_ROUNDS && open.size > 0; round += 1) {
      this.progress = { ...this.progress, in_flight: open.size };
      await this.report();
      await waitUntilApplied(this.parts);
      const now = await this.recheck(suspectsIn(open));
      const confirmed = [...now.values()].filter(({ email, state }) => open.get(email)?.state === state);
      await this.noteFound(confirmed.filter(({ email }) => !repairs.has(email)));
      for (const { email, suspect } of confirmed) {
        repairs.set(email, repairs.get(email) ?? 0);
        suspects.set(email, suspect);
      }
      // Rejects when the run was paused or cancelled meanwhile: then nothing is repaired.
      await this.report();
      const next = this.mayRepair ? confirmed.filter(({ email, collides }) => !collides && repairs.get(email)! < MAX_REPAIRS) : [];
      await repair(this.parts, next, this.run.reason);
      for (const { email } of next) repairs.set(email, repairs.get(email)! + 1);
      await this.report();
      // A difference that is confirmed and not repaired needs no further check.
      const repairedNow = new Set(next.map(({ email }) => email));
      open = await this.recheck(suspectsIn(now, (email) => !repairs.has(email) || repairedNow.has(email)));
    }
    const left = await this.recheck([...suspects.values()]);
    const causes = await this.differences.repaired([...repairs.keys()].filter((email) => !left.has(email)));
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

  /** Renews the lease in between: a recheck of many emails may take longer than the lease lasts. */
  private recheck(emails: readonly string[]): Promise<Map<string, Difference>> {
    return recheckRows(this.sides, this.parts.tables, emails, () => this.report());
  }

  private report(): Promise<void> {
    return this.parts.report(this.progress);
  }
}

/** Returns the spellings by which differences are found again. */
function suspectsIn(differences: ReadonlyMap<string, Difference>, isWanted: (email: string) => boolean = () => true): string[] {
  return [...differences.values()].filter(({ email }) => isWanted(email)).map(({ suspect }) => suspect);
}

function take(emails: Set<string>): string[] {
  const all = [...emails];
  emails.clear();
  return all;
}

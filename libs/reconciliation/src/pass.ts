import type { KafkaSettings } from '#config';
import type { DataSource } from 'typeorm';
import { compareRange } from './compare-range.js';
import { Differences } from './differences.js';
import { lookAtRows, type Difference } from './look-at-rows.js';
import { drawAbove, repair } from './repair.js';
import { rowText, type RowText } from './row-text.js';
import type { Outcome, Progress, Run } from './runs.js';
import { highestApplied, settle } from './settle.js';

/** Differences that are held and settled at once: each time costs a second or two. */
const HELD = 50_000;
/** How often a row is repaired: what DB2 refuses becomes a dead letter each time. */
const TRIES = 2;
/** How often differing rows are settled and looked at. A row that changes all the time is never equal, and is no difference either. */
const ROUNDS = 8;

export interface PassParts {
  readonly db1: DataSource;
  readonly db2: DataSource;
  readonly kafka: KafkaSettings;
  /** Called often: renews the lease, and rejects when it is lost. */
  readonly report: (progress: Progress) => Promise<void>;
  /** Differences that are confirmed for the first time. */
  readonly onFound: (differences: readonly Difference[]) => void;
  readonly signal: AbortSignal;
}

/**
 * Compares all rows of both databases and repairs those that differ, from where the run stands to the end.
 *
 * A difference counts only when it outlasts the stream: everything that was committed in DB1 when it was seen has reached DB2, and the
 * row was not changed since. Then it is kept with its cause, and repaired if the run is to, through the change log (see repair.ts).
 */
export class Pass {
  private position: string;
  private compared: number;
  private differing: number;
  private repaired: number;
  private tooMany = false;
  private text!: RowText;
  private readonly differences: Differences;

  constructor(
    private readonly run: Run,
    private readonly parts: PassParts,
  ) {
    ({ position: this.position, compared: this.compared, differing: this.differing, repaired: this.repaired } = run);
    this.differences = new Differences(parts.db1, run.id);
  }

  async finish(): Promise<Outcome> {
    const { db1, db2, signal } = this.parts;
    this.text = await rowText(db1, db2);
    let held: string[] = [];
    for (let after: string | undefined = this.position; after !== undefined;) {
      signal.throwIfAborted();
      const { last, rows, differing } = await compareRange(db1, db2, this.text, after);
      this.compared += rows;
      held.push(...differing);
      after = last;
      if (held.length > 0 && (held.length >= HELD || after === undefined)) {
        await this.mend(held);
        held = [];
      }
      // A process that takes over begins behind what is held.
      if (held.length === 0 && after !== undefined) this.position = after;
      await this.report();
    }
    if (this.tooMany) return 'too_many';
    if (this.differing === 0) return 'equal';
    return this.repaired === this.differing ? 'repaired' : 'differs';
  }

  private async mend(emails: readonly string[]): Promise<void> {
    /** How often each that was confirmed has been repaired. */
    const tries = new Map<string, number>();
    let open = await this.look(emails);
    for (let round = 0; round < ROUNDS && open.size > 0; round += 1) {
      await this.settle();
      const now = await this.look([...open.keys()]);
      const confirmed = [...now.values()].filter(({ email, state }) => open.get(email)?.state === state);
      await this.noteFound(confirmed.filter(({ email }) => !tries.has(email)));
      for (const { email } of confirmed) tries.set(email, tries.get(email) ?? 0);
      const next = this.mayRepair ? confirmed.filter(({ email }) => tries.get(email)! < TRIES) : [];
      await repair(this.parts.db1, this.parts.db2, next, this.run.reason, this.parts.signal);
      for (const { email } of next) tries.set(email, tries.get(email)! + 1);
      await this.report();
      // What is confirmed and not repaired is done with.
      const repairedNow = new Set(next.map(({ email }) => email));
      open = await this.look([...now.keys()].filter((email) => !tries.has(email) || repairedNow.has(email)));
    }
    const left = await this.look([...tries.keys()]);
    this.repaired += await this.differences.repaired([...tries.keys()].filter((email) => !left.has(email)));
  }

  private get mayRepair(): boolean {
    return this.run.repair && !this.tooMany;
  }

  private async noteFound(found: readonly Difference[]): Promise<void> {
    await this.differences.confirm(found);
    this.parts.onFound(found);
    this.differing += found.length;
    this.tooMany ||= this.run.repair && this.run.at_most !== null && this.differing > this.run.at_most;
  }

  private async settle(): Promise<void> {
    const { db1, db2, kafka, signal } = this.parts;
    await settle(db1, db2, kafka, signal);
    await drawAbove(db1, await highestApplied(db2, kafka));
  }

  private look(emails: readonly string[]): Promise<Map<string, Difference>> {
    return lookAtRows(this.parts.db1, this.parts.db2, this.text, emails);
  }

  private report(): Promise<void> {
    const { position, compared, differing, repaired } = this;
    return this.parts.report({ position, compared, differing, repaired });
  }
}

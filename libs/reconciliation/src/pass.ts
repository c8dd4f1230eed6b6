import type { KafkaSettings } from '#config';
import type { DataSource } from 'typeorm';
import { compareRange } from './compare-range.js';
import { lookAtRows, type Difference } from './look-at-rows.js';
import { drawAbove, repair } from './repair.js';
import { rowText, type RowText } from './row-text.js';
import type { Progress, Run } from './runs.js';
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
  readonly signal: AbortSignal;
}

/**
 * Compares all rows of both databases and repairs those that differ, from where the run stands to the end.
 *
 * A difference counts only when it outlasts the stream: everything that was committed in DB1 when it was seen has reached DB2, and the
 * row was not changed since. Repairs go through the change log (see repair.ts).
 */
export class Pass {
  private position: string;
  private compared: number;
  private repaired: number;
  private text!: RowText;

  constructor(
    private readonly run: Run,
    private readonly parts: PassParts,
  ) {
    ({ position: this.position, compared: this.compared, repaired: this.repaired } = run);
  }

  /** @returns how many emails still differ at the end, after all tries. */
  async finish(): Promise<number> {
    const { db1, db2, signal } = this.parts;
    this.text = await rowText(db1, db2);
    let held: string[] = [];
    let unmended = 0;
    for (let after: string | undefined = this.position; after !== undefined;) {
      signal.throwIfAborted();
      const { last, rows, differing } = await compareRange(db1, db2, this.text, after);
      this.compared += rows;
      held.push(...differing);
      after = last;
      if (held.length < HELD && after !== undefined) {
        // A process that takes over begins behind what is held.
        if (held.length === 0) this.position = after;
        await this.report();
        continue;
      }
      unmended += await this.mend(held);
      held = [];
      this.position = after ?? this.position;
      await this.report();
    }
    return unmended;
  }

  private async mend(emails: readonly string[]): Promise<number> {
    const tries = new Map<string, number>();
    let open = await this.look(emails);
    for (let round = 0; round < ROUNDS && open.size > 0; round += 1) {
      await this.settle();
      const now = await this.look([...open.keys()]);
      const confirmed = [...now.values()].filter(({ email, state }) => open.get(email)?.state === state && (tries.get(email) ?? 0) < TRIES);
      for (const { email } of confirmed) tries.set(email, (tries.get(email) ?? 0) + 1);
      this.repaired += await repair(this.parts.db1, this.parts.db2, confirmed, this.run.reason, this.parts.signal);
      await this.report();
      open = confirmed.length > 0 ? await this.look([...now.keys()]) : now;
    }
    return open.size;
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
    return this.parts.report({ position: this.position, compared: this.compared, repaired: this.repaired });
  }
}

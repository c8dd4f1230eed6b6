import { setTimeout as delay } from 'node:timers/promises';
import { lastEmail } from './compare-range.js';
import { ensureEmailIndexes } from './email-index.js';
import type { PassParts } from './pass.js';
import { deleteExtra, resyncNext } from './repair.js';
import type { Outcome, Progress, Run } from './runs.js';
import { settle } from './settle.js';

const CHUNK = 1_000;

const REPLICAS = `
SELECT s.email FROM subscriptions s WHERE s.email COLLATE "C" > $1 AND s.email COLLATE "C" <= $2 ORDER BY s.email COLLATE "C" LIMIT $3`;

/**
 * Backfill: publishes every row of a range anew, as it is under its lock, and removes what only DB2 has of it. Slower than a
 * comparison, which leaves alone what is equal; it is for consumers of the topic that want all rows, and for a DB2 that nobody trusts.
 */
export class Resync {
  private progress: Progress;
  private started = performance.now();
  private publishedHere = 0;

  constructor(
    private readonly run: Run,
    private readonly parts: PassParts,
  ) {
    const { position, compared, differing, repaired } = run;
    this.progress = { position, compared, in_flight: 0, differing, repaired };
  }

  async finish(): Promise<Outcome> {
    const { db1, db2, kafka, signal } = this.parts;
    await ensureEmailIndexes(db1, db2);
    const until = this.run.until_email ?? (await lastEmail([db1, db2]));
    if (until !== undefined) {
      this.started = performance.now();
      while (this.progress.position !== until) await this.step(until);
    }
    await settle(db1, db2, kafka, signal);
    return 'resynced';
  }

  private async step(until: string): Promise<void> {
    const { db1, signal, report, whenIdle } = this.parts;
    signal.throwIfAborted();
    const { position, compared, ...rest } = this.progress;
    const emails = await resyncNext(db1, position, until, CHUNK, this.run.reason);
    const last = emails.length === CHUNK ? emails.at(-1)! : until;
    await this.removeExtra(position, last, new Set(emails));
    this.progress = { ...rest, ...this.progress, position: last, compared: compared + emails.length };
    this.publishedHere += emails.length;
    await report(this.progress);
    await this.keepToRate();
    await whenIdle();
  }

  /** What DB2 has of `after` < email <= `last` that is not among DB1's. */
  private async removeExtra(after: string, last: string, known: ReadonlySet<string>): Promise<void> {
    const { db1, db2 } = this.parts;
    let from = after;
    for (;;) {
      const rows = await db2.query<{ email: string }[]>(REPLICAS, [from, last, CHUNK]);
      const extra = rows.map(({ email }) => email).filter((email) => !known.has(email));
      const removed = await deleteExtra(db1, db2, extra, this.run.reason);
      const { differing, repaired } = this.progress;
      this.progress = { ...this.progress, differing: differing + removed, repaired: repaired + removed };
      if (rows.length < CHUNK) return;
      from = rows.at(-1)!.email;
    }
  }

  private async keepToRate(): Promise<void> {
    const { rate } = this.run;
    if (rate === null) return;
    const due = this.started + (this.publishedHere / rate) * 1_000;
    await delay(Math.max(0, due - performance.now()), undefined, { signal: this.parts.signal });
  }
}

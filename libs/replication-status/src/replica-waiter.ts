import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { type Database, DB2 } from '#postgres';

/** Pauses between two looks, ms: a change usually needs a few ms, so the first looks come quickly; who waits for long is looked at ever more rarely. */
const PAUSE_MS = { first: 2, longest: 100, failed: 250 };
const BACKOFF = 1.3;
/** Requests that wait in this process at once. */
const MAX_WAITERS = 1_000;

interface Waiter {
  readonly email: string;
  readonly version: number;
  /** Answers it: whether DB2 has it. */
  readonly settle: (has: boolean) => void;
}

/** $1 emails, $2 versions: which of them (from 1) DB2 has, or something newer of that email, or its deletion. */
const ARRIVED = `
SELECT w.n::int AS n FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY w(email, version, n)
JOIN replicated_subscriptions r ON r.email = w.email AND r.version >= w.version`;

/**
 * Waits for versions to reach DB2: one statement at a time, for all who wait. DB2 being down is waiting, too. Without DB2 nobody waits.
 */
@Injectable()
export class ReplicaWaiter {
  private readonly waiters = new Set<Waiter>();
  private stopped = false;
  private looking = false;
  private pause = PAUSE_MS.first;
  private wake = new AbortController();

  constructor(@Optional() @Inject(DB2) private readonly db2?: Database) {}

  /** Whether this process can tell what is in DB2. */
  get known(): boolean {
    return this.db2 !== undefined;
  }

  /**
   * Resolves with whether DB2 has that version of the email, or a newer one: as soon as it has, else after `ms`, or when `signal` aborts,
   * or at once when too many wait already. Never rejects.
   */
  async wait(email: string, version: number, ms: number, signal?: AbortSignal): Promise<boolean> {
    if (!this.db2 || this.stopped || this.waiters.size >= MAX_WAITERS) return false;
    return new Promise((resolve) => {
      const settle = (has: boolean): void => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        signal?.removeEventListener('abort', giveUp);
        resolve(has);
      };
      const giveUp = (): void => settle(false);
      const waiter = { email, version, settle };
      const timer = setTimeout(giveUp, ms);
      signal?.addEventListener('abort', giveUp);
      this.waiters.add(waiter);
      this.pause = PAUSE_MS.first;
      this.wake.abort();
      void this.look(this.db2!);
      if (signal?.aborted) giveUp();
    });
  }

  /** Nobody waits any longer. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const waiter of this.waiters) waiter.settle(false);
  }

  private async look(db2: Database): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    while (this.waiters.size > 0) {
      this.wake = new AbortController();
      const asked = [...this.waiters];
      try {
        const values = [asked.map(({ email }) => email), asked.map(({ version }) => version)];
        const rows = await db2.query<{ n: number }>(ARRIVED, values);
        for (const { n } of rows) asked[n - 1]!.settle(true);
        await delay(this.pause, undefined, { signal: this.wake.signal }).catch(() => undefined);
        this.pause = Math.min(this.pause * BACKOFF, PAUSE_MS.longest);
      } catch {
        await delay(PAUSE_MS.failed);
      }
    }
    this.looking = false;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { TIMINGS, type Timings } from '#config';
import { type Database, DB2 } from '#postgres';
import { ReplicaWaiting } from '#subscriptions';

/** Factor by which the pause grows from poll to poll. A change usually needs a few ms, so the first polls follow each other quickly. */
const BACKOFF_FACTOR = 1.3;
/** Maximum number of requests that wait in this process at once. */
const MAX_WAITERS = 1_000;

interface Waiter {
  readonly email: string;
  readonly version: number;
  /** Ends the wait: whether DB2 has the version. */
  readonly finish: (replicated: boolean) => void;
}

/** Selects the waiters ($1 emails, $2 versions, numbered from 1) for whose email DB2 has that version or a newer one, a deletion included. */
const SELECT_REPLICATED = `
SELECT w.n::int AS n FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY w(email, version, n)
JOIN subscription_sync.applied a ON a.email = w.email AND a.version >= w.version`;

/**
 * Waits for versions to reach DB2. One statement at a time polls for all waiters. While DB2 does not respond the waiters keep waiting; in a
 * process without DB2 nothing waits.
 */
@Injectable()
export class ReplicaWaiter extends ReplicaWaiting {
  private readonly waiters = new Set<Waiter>();
  private stopped = false;
  private polling = false;
  private pauseMs: number;
  private wake = new AbortController();

  constructor(
    @Inject(TIMINGS) private readonly timings: Timings,
    @Optional() @Inject(DB2) private readonly db2?: Database,
  ) {
    super();
    this.pauseMs = timings.replicationStatus.minPollMs;
  }

  override get available(): boolean {
    return this.db2 !== undefined;
  }

  override async wait(email: string, version: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (!this.db2 || this.stopped || this.waiters.size >= MAX_WAITERS) return false;
    return new Promise((resolve) => {
      const finish = (replicated: boolean): void => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        signal?.removeEventListener('abort', giveUp);
        resolve(replicated);
      };
      const giveUp = (): void => finish(false);
      const waiter = { email, version, finish };
      const timer = setTimeout(giveUp, timeoutMs);
      signal?.addEventListener('abort', giveUp);
      this.waiters.add(waiter);
      this.pauseMs = this.timings.replicationStatus.minPollMs;
      this.wake.abort();
      void this.poll(this.db2!);
      if (signal?.aborted) giveUp();
    });
  }

  /** Ends all waits, and rejects new ones. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const waiter of this.waiters) waiter.finish(false);
  }

  private async poll(db2: Database): Promise<void> {
    if (this.polling) return;
    this.polling = true;
    const { maxPollMs, failedPollMs } = this.timings.replicationStatus;
    while (this.waiters.size > 0) {
      this.wake = new AbortController();
      const polled = [...this.waiters];
      try {
        const values = [polled.map(({ email }) => email), polled.map(({ version }) => version)];
        const rows = await db2.query<{ n: number }>(SELECT_REPLICATED, values);
        for (const { n } of rows) polled[n - 1]!.finish(true);
        await delay(this.pauseMs, undefined, { signal: this.wake.signal }).catch(() => undefined);
        this.pauseMs = Math.min(this.pauseMs * BACKOFF_FACTOR, maxPollMs);
      } catch {
        await delay(failedPollMs);
      }
    }
    this.polling = false;
  }
}

import { createHash } from 'node:crypto';
import type { Sql } from './api-keys.js';

/** Takes up to `wanted` of `limit` from what all processes share. @returns how many it got. */
export type ReserveQuota = (window: number, subject: string, wanted: number, limit: number) => Promise<number>;

export interface RateLimitDecision {
  readonly allowed: boolean;
  /** Requests left in this minute, as far as this process knows. */
  readonly remaining: number;
}

const WINDOW_MS = 60_000;
/** A share of the limit that one process takes at a time: 20 round trips a minute for a caller at its limit, and not one a request. */
const SHARE = 1 / 20;
/** Subjects counted apart in one minute. Those above share one count: memory is bounded, whoever asks. */
const MAX_SUBJECTS = 10_000;

interface Count {
  readonly subject: string;
  used: number;
  leased: number;
  leasing: Promise<void> | undefined;
  /** Why no more is asked for in this window: all is taken. */
  exhausted: boolean;
}

/**
 * At most `limit` in each minute of the clock, over all processes on one DB1.
 *
 * A process takes shares of a twentieth of the limit and hands them out without asking. It may hand out one share ahead of what it has
 * while it asks, so that no request waits for the first answer; so `n` processes together let through at most `limit` and `n` shares,
 * and a single one exactly `limit`. What a process took and nobody used is lost with the minute: up to one share each. Without DB1 each
 * process counts alone.
 */
export class RateLimiter {
  private window = -1;
  private counts = new Map<string, Count>();
  private readonly share: number;

  constructor(
    readonly name: string,
    readonly limit: number,
    private readonly lease: ReserveQuota | undefined,
    private readonly now: () => number = Date.now,
  ) {
    this.share = Math.max(1, Math.floor(limit * SHARE));
  }

  /** What is left of the minute, s, rounded up. */
  get secondsLeft(): number {
    return Math.ceil((WINDOW_MS - (this.now() % WINDOW_MS)) / 1_000);
  }

  /** As the draft of the RateLimit header fields has it (draft-ietf-httpapi-ratelimit-headers). */
  get policy(): string {
    return `"${this.name}";q=${this.limit};w=${WINDOW_MS / 1_000}`;
  }

  /** Counts one for `id`, a key's or an address. Waits only when all that is here is handed out and more was asked for. */
  take(id: string): RateLimitDecision | Promise<RateLimitDecision> {
    const count = this.countOf(id);
    if (this.lease && !count.exhausted && !count.leasing && count.leased - count.used <= this.share / 2)
      this.askForMore(count, this.window);
    if (count.used < this.ceiling(count)) {
      count.used += 1;
      return { allowed: true, remaining: this.limit - count.used };
    }
    if (count.leasing) return count.leasing.then(() => this.take(id));
    return { allowed: false, remaining: 0 };
  }

  /** Whether nothing is left for `id`, without counting. */
  isExhausted(id: string): boolean {
    const count = this.countOf(id);
    return count.used >= this.limit || (count.exhausted && count.used >= count.leased);
  }

  private ceiling({ leased, exhausted }: Count): number {
    if (!this.lease) return this.limit;
    return Math.min(this.limit, exhausted ? leased : leased + this.share);
  }

  private askForMore(count: Count, window: number): void {
    const wanted = Math.min(this.share + Math.max(0, count.used - count.leased), this.limit - count.leased);
    if (wanted <= 0) {
      count.exhausted = true;
      return;
    }
    count.leasing = this.lease!(window, count.subject, wanted, this.limit).then(
      (got) => {
        count.leased += got;
        count.exhausted = got < wanted;
        count.leasing = undefined;
      },
      () => {
        // Alone, until the minute is over.
        count.leased = this.limit;
        count.leasing = undefined;
      },
    );
  }

  private countOf(id: string): Count {
    const window = Math.floor(this.now() / WINDOW_MS);
    if (window !== this.window) {
      this.window = window;
      this.counts = new Map();
    }
    const own = this.counts.get(id);
    if (own) return own;
    const key = this.counts.size < MAX_SUBJECTS ? id : '';
    const shared = this.counts.get(key);
    if (shared) return shared;
    const count = { subject: this.subjectOf(key), used: 0, leased: 0, leasing: undefined, exhausted: false };
    this.counts.set(key, count);
    return count;
  }

  /** A token's subject may be an email, and an address is somebody's: neither is stored as it is. */
  private subjectOf(id: string): string {
    return createHash('sha256').update(`${this.name} ${id}`).digest('base64url');
  }
}

/** Older windows are of no use: a clock that is minutes behind counts alone. */
const WINDOWS_KEPT = 10;

/**
 * Leases of {@link RateLimiter} from the table `rate_limits`, in one statement. The row's lock makes them one after the other, so what is
 * given never exceeds the limit. What is refused is counted as taken, too, and changes nothing.
 */
export function reserveFromDb1(sql: Sql): ReserveQuota {
  let cleaned = 0;
  return async (window, subject, wanted, limit) => {
    const [row] = await sql.query<{ taken: number }>(
      `WITH lease AS (
         INSERT INTO rate_limits AS l ("window", subject, taken) VALUES ($1, $2, $3)
         ON CONFLICT ("window", subject) DO UPDATE SET taken = l.taken + excluded.taken
         RETURNING taken
       ) SELECT taken FROM lease`,
      [window, subject, wanted],
    );
    if (window > cleaned) {
      cleaned = window;
      sql.query('DELETE FROM rate_limits WHERE "window" < $1', [window - WINDOWS_KEPT]).catch(() => undefined);
    }
    const before = row!.taken - wanted;
    return Math.max(0, Math.min(wanted, limit - before));
  };
}

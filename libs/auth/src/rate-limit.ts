import { createHash } from 'node:crypto';
import type { Sql } from './api-keys.js';
import { CountSketch } from './count-sketch.js';

/** Reserves up to `wanted` requests of `limit` in a window that all processes share. Returns how many it got. */
export type ReserveQuota = (window: number, subject: string, wanted: number, limit: number) => Promise<number>;

export interface RateLimitDecision {
  readonly allowed: boolean;
  /** Requests left in this window, as far as this process knows. */
  readonly remaining: number;
}

/** Part of the limit that one process reserves at a time: 20 round trips a window for a caller at its limit, instead of one a request. */
const SHARE = 1 / 20;
/**
 * Maximum number of ids that are counted exactly in a window: of known callers and addresses, and of all others. Ids above it are counted by a
 * {@link CountSketch}, each process for itself, so that neither memory nor statements in DB1 grow with the addresses of an attack.
 */
const MAX_EXACT = { known: 10_000, others: 10_000 };

interface Count {
  readonly subject: string;
  used: number;
  reserved: number;
  reserving: Promise<void> | undefined;
  /** Requests that wait for the reservation under way. */
  waiting: number;
  /** All of the limit is reserved, so no more is requested in this window. */
  exhausted: boolean;
}

/**
 * Allows at most `limit` requests in each window of the clock, over all processes that share one DB1.
 *
 * A process reserves shares of a twentieth of the limit and spends them without a round trip. While it reserves, it may spend one share
 * ahead, so that no request waits for the first answer. Together `n` processes allow at most `limit` and `n` shares, and a single
 * process exactly `limit`. Reserved requests that are not spent are lost at the end of the window: at most one share a process. While
 * DB1 is away, each process counts alone. ADR 24 compares this with rate-limiter-flexible, ADR 33 says what happens with many ids.
 */
export class RateLimiter {
  private window = -1;
  private counts = new Map<string, Count>();
  /** Number of `counts` whose id was not known. */
  private strangers = 0;
  /** Ids of callers that proved who they are, and of their addresses. They are counted exactly, whatever others send. */
  private readonly known = new Set<string>();
  private sketch: CountSketch | undefined;
  private readonly share: number;

  /** Without `reserve` the process counts alone. */
  constructor(
    readonly name: string,
    readonly limit: number,
    private readonly reserve: ReserveQuota | undefined,
    private readonly windowMs: number,
    private readonly now: () => number = Date.now,
  ) {
    this.share = Math.max(1, Math.floor(limit * SHARE));
  }

  /** Seconds left in the window, rounded up. */
  get secondsLeft(): number {
    return Math.ceil((this.windowMs - (this.now() % this.windowMs)) / 1_000);
  }

  /** Value of the RateLimit-Policy header (draft-ietf-httpapi-ratelimit-headers). */
  get policy(): string {
    return `"${this.name}";q=${this.limit};w=${this.windowMs / 1_000}`;
  }

  /** Keeps `id` among those that are counted exactly, also in later windows. To be called for callers that proved who they are. */
  remember(id: string): void {
    if (this.known.has(id)) return;
    if (this.known.size >= MAX_EXACT.known) this.known.delete(this.known.values().next().value!);
    this.known.add(id);
  }

  /** Counts one request of `id`, a caller or an address. Returns a promise only when all that is reserved is spent and more is being reserved. */
  take(id: string): RateLimitDecision | Promise<RateLimitDecision> {
    const count = this.exactCountOf(id);
    if (!count) {
      const used = (this.sketch ??= new CountSketch()).addBelow(id, this.limit);
      return { allowed: used < this.limit, remaining: Math.max(0, this.limit - used - 1) };
    }
    if (this.reserve && !count.exhausted && !count.reserving && count.reserved - count.used <= this.share / 2) {
      this.reserveMore(this.reserve, count);
    }
    if (count.used < this.spendable(count)) {
      count.used += 1;
      return { allowed: true, remaining: this.limit - count.used };
    }
    if (!count.reserving) return { allowed: false, remaining: 0 };
    count.waiting += 1;
    return count.reserving.then(() => {
      count.waiting -= 1;
      return this.take(id);
    });
  }

  /** Returns whether `id` has nothing left in this window, including what waiting requests will take. Does not count a request. */
  isExhausted(id: string): boolean {
    this.beginWindow();
    const count = this.counts.get(id);
    if (!count) return this.sketch !== undefined && !this.known.has(id) && this.sketch.count(id) >= this.limit;
    const { used, reserved, exhausted, waiting } = count;
    return used + waiting >= this.limit || (exhausted && used >= reserved);
  }

  private spendable({ reserved, exhausted }: Count): number {
    if (!this.reserve) return this.limit;
    return Math.min(this.limit, exhausted ? reserved : reserved + this.share);
  }

  private reserveMore(reserve: ReserveQuota, count: Count): void {
    const wanted = Math.min(this.share + Math.max(0, count.used - count.reserved), this.limit - count.reserved);
    if (wanted <= 0) {
      count.exhausted = true;
      return;
    }
    count.reserving = reserve(this.window, count.subject, wanted, this.limit)
      .then(
        (reserved) => {
          count.reserved += reserved;
          count.exhausted = reserved < wanted;
        },
        // DB1 is away: this process counts alone until the window ends.
        () => void (count.reserved = this.limit),
      )
      .finally(() => (count.reserving = undefined));
  }

  private beginWindow(): void {
    const window = Math.floor(this.now() / this.windowMs);
    if (window === this.window) return;
    this.window = window;
    this.counts = new Map();
    this.strangers = 0;
    this.sketch?.clear();
  }

  /** Returns undefined for an id that is not counted exactly. */
  private exactCountOf(id: string): Count | undefined {
    this.beginWindow();
    const existing = this.counts.get(id);
    if (existing) return existing;
    const isKnown = this.known.has(id);
    if (this.counts.size >= MAX_EXACT.known + MAX_EXACT.others || (!isKnown && this.strangers >= MAX_EXACT.others)) return undefined;
    if (!isKnown) this.strangers += 1;
    const count: Count = { subject: this.subjectOf(id), used: 0, reserved: 0, reserving: undefined, waiting: 0, exhausted: false };
    this.counts.set(id, count);
    return count;
  }

  /** Hashes the id: it may be an email or a person's address, and neither is stored in the clear. */
  private subjectOf(id: string): string {
    return createHash('sha256').update(`${this.name} ${id}`).digest('base64url');
  }
}

/** Number of past windows whose rows are kept. A process whose clock is further behind counts alone. */
const WINDOWS_KEPT = 10;

/**
 * Reserves quota in the table `rate_limits`, with one statement. The row's lock serializes the processes, so what they reserve together
 * never exceeds the limit. A refused reservation is counted as taken, too, which changes nothing.
 */
export function reserveFromDb1(sql: Sql): ReserveQuota {
  let cleanedWindow = 0;
  return async (window, subject, wanted, limit) => {
    const [row] = await sql.query<{ taken: number }>(
      `WITH reserved AS (
         INSERT INTO subscription_sync.rate_limits AS l ("window", subject, taken) VALUES ($1, $2, $3)
         ON CONFLICT ("window", subject) DO UPDATE SET taken = l.taken + excluded.taken
         RETURNING taken
       ) SELECT taken FROM reserved`,
      [window, subject, wanted],
    );
    if (window > cleanedWindow) {
      cleanedWindow = window;
      sql.query('DELETE FROM subscription_sync.rate_limits WHERE "window" < $1', [window - WINDOWS_KEPT]).catch(() => undefined);
    }
    const before = row!.taken - wanted;
    return Math.max(0, Math.min(wanted, limit - before));
  };
}

import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RateLimiter, type ReserveQuota } from './rate-limit.js';

const MINUTE_MS = 60_000;
/** Number of addresses of an attack: with a limit of 1, the sketch takes every second other address for one of them. */
const MANY = 120_000;

/** The table that all processes share, in memory. */
function sharedTable(): { reserve: ReserveQuota; roundTrips: () => number } {
  const taken = new Map<string, number>();
  let roundTrips = 0;
  const reserve: ReserveQuota = async (window, subject, wanted, limit) => {
    roundTrips += 1;
    await new Promise((resolve) => setImmediate(resolve));
    const before = taken.get(`${window} ${subject}`) ?? 0;
    taken.set(`${window} ${subject}`, before + wanted);
    return Math.max(0, Math.min(wanted, limit - before));
  };
  return { reserve, roundTrips: () => roundTrips };
}

async function allowed(limiter: RateLimiter, id: string, requests: number): Promise<number> {
  const decisions = await Promise.all(Array.from({ length: requests }, async () => limiter.take(id)));
  return decisions.filter((decision) => decision.allowed).length;
}

describe('one process', () => {
  test('allows exactly the limit in each window', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 200 }), async (limit, excess) => {
        let now = 0;
        const limiter = new RateLimiter('key', limit, sharedTable().reserve, MINUTE_MS, () => now);
        expect(await allowed(limiter, 'a', limit + excess)).toBe(limit);
        expect(limiter.isExhausted('a')).toBe(true);
        expect(await allowed(limiter, 'b', 1)).toBe(1);
        now = MINUTE_MS;
        expect(limiter.isExhausted('a')).toBe(false);
        expect(await allowed(limiter, 'a', limit)).toBe(limit);
      }),
      { numRuns: 50 },
    );
  });

  test('reserves shares instead of single requests, and lets none of the first requests wait', () => {
    const { reserve, roundTrips } = sharedTable();
    const limiter = new RateLimiter('key', 1_000, reserve, MINUTE_MS, () => 0);
    const decisions = Array.from({ length: 50 }, () => limiter.take('a'));
    expect(decisions.every((decision) => !(decision instanceof Promise) && decision.allowed)).toBe(true);
    expect(roundTrips()).toBe(1);
  });

  test('is exhausted at once, however long DB1 takes to answer', () => {
    const limiter = new RateLimiter(
      'failures',
      5,
      () => new Promise(() => undefined),
      MINUTE_MS,
      () => 0,
    );
    const exhausted = Array.from({ length: 6 }, () => {
      void limiter.take('a');
      return limiter.isExhausted('a');
    });
    expect(exhausted).toEqual([false, false, false, false, true, true]);
  });

  test('counts alone, up to the limit, while DB1 is away', async () => {
    const away = (): Promise<never> => Promise.reject(new Error('away'));
    expect(await allowed(new RateLimiter('key', 100, away, MINUTE_MS, () => 0), 'a', 150)).toBe(100);
  });

  test('reports the seconds left in the window, and its policy as the draft defines it', () => {
    const limiter = new RateLimiter('key', 100, undefined, MINUTE_MS, () => MINUTE_MS + 12_345);
    expect([limiter.secondsLeft, limiter.policy]).toEqual([48, '"key";q=100;w=60']);
  });
});

describe('with more addresses than are counted exactly', () => {
  const limit = 30;
  let now = 0;
  let roundTrips: number;
  let limiter: RateLimiter;

  beforeEach(() => {
    const table = sharedTable();
    now = 0;
    limiter = new RateLimiter('address', limit, table.reserve, MINUTE_MS, () => now);
    for (let i = 0; i < 50_000; i += 1) void limiter.take(`strange ${i}`);
    roundTrips = table.roundTrips();
  });

  test('others are neither refused nor taken for exhausted, and each still has its limit', async () => {
    expect(limiter.isExhausted('other')).toBe(false);
    expect(await allowed(limiter, 'other', 2 * limit)).toBeGreaterThanOrEqual(limit - 5);
    expect(await allowed(limiter, 'other', 1)).toBe(0);
    expect(limiter.isExhausted('other')).toBe(true);
    expect(limiter.isExhausted('another')).toBe(false);
    expect(await allowed(limiter, 'another', 1)).toBe(1);
  });

  test('known callers have exactly their limit, in this window and in the next one, however many others are at theirs', async () => {
    const known = Array.from({ length: 20 }, (_, i) => `known ${i}`);
    const one = new RateLimiter('address', 1, undefined, MINUTE_MS, () => now);
    for (const id of known) one.remember(id);
    for (; now < 2 * MINUTE_MS; now += MINUTE_MS) {
      for (let i = 0; i < MANY; i += 1) void one.take(`strange ${i}`);
      expect(known.filter((id) => one.isExhausted(id))).toEqual([]);
      for (const id of known) expect(await allowed(one, id, 2)).toBe(1);
    }
  });

  test('those above 10,000 need no statement in DB1, and all are counted anew in the next window', async () => {
    expect(roundTrips).toBe(10_000);
    now = MINUTE_MS;
    expect(await allowed(limiter, 'strange 49999', 2 * limit)).toBe(limit);
  });
});

test('several processes together stay within the limit and a share each', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 20, max: 400 }), async (processes, limit) => {
      const { reserve } = sharedTable();
      const limiters = Array.from({ length: processes }, () => new RateLimiter('key', limit, reserve, MINUTE_MS, () => 0));
      let total = 0;
      for (let round = 0; round < 20; round += 1) {
        const counts = await Promise.all(limiters.map((limiter) => allowed(limiter, 'a', Math.ceil(limit / 8))));
        total += counts.reduce((sum, count) => sum + count, 0);
      }
      const share = Math.floor(limit / 20);
      expect(total).toBeLessThanOrEqual(limit + processes * share);
      expect(total).toBeGreaterThanOrEqual(limit - processes * share);
    }),
    { numRuns: 30 },
  );
});

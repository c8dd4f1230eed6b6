import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ReserveQuota, RateLimiter } from './rate-limit.js';

const MINUTE = 60_000;

/** What all processes share, as DB1 has it. */
function table(): { lease: ReserveQuota; asked: () => number } {
  const taken = new Map<string, number>();
  let asked = 0;
  const lease: ReserveQuota = async (window, subject, wanted, limit) => {
    asked += 1;
    await new Promise((resolve) => setImmediate(resolve));
    const before = taken.get(`${window} ${subject}`) ?? 0;
    taken.set(`${window} ${subject}`, before + wanted);
    return Math.max(0, Math.min(wanted, limit - before));
  };
  return { lease, asked: () => asked };
}

async function allowed(limit: RateLimiter, id: string, requests: number): Promise<number> {
  const verdicts = await Promise.all(Array.from({ length: requests }, async () => limit.take(id)));
  return verdicts.filter((verdict) => verdict.allowed).length;
}

describe('one process', () => {
  test('lets through exactly the limit, in each minute anew', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 200 }), async (most, more) => {
        let now = 0;
        const limit = new RateLimiter('key', most, table().lease, () => now);
        expect(await allowed(limit, 'a', most + more)).toBe(most);
        expect(limit.isExhausted('a')).toBe(true);
        expect(await allowed(limit, 'b', 1)).toBe(1);
        now = MINUTE;
        expect(limit.isExhausted('a')).toBe(false);
        expect(await allowed(limit, 'a', most)).toBe(most);
      }),
      { numRuns: 50 },
    );
  });

  test('asks for shares, not for each request, and waits for none of the first ones', () => {
    const { lease, asked } = table();
    const limit = new RateLimiter('key', 1_000, lease, () => 0);
    const answers = Array.from({ length: 50 }, () => limit.take('a'));
    expect(answers.every((answer) => !(answer instanceof Promise) && answer.allowed)).toBe(true);
    expect(asked()).toBe(1);
  });

  test('counts alone, up to the limit, while DB1 does not answer', async () => {
    const limit = new RateLimiter(
      'key',
      100,
      () => Promise.reject(new Error('away')),
      () => 0,
    );
    expect(await allowed(limit, 'a', 150)).toBe(100);
  });

  test('says how long the minute is, and its policy as the draft has it', () => {
    const limit = new RateLimiter('key', 100, undefined, () => MINUTE + 12_345);
    expect([limit.secondsLeft, limit.policy]).toEqual([48, '"key";q=100;w=60']);
  });

  test('does not grow with those who call', async () => {
    const limit = new RateLimiter('address', 1, undefined, () => 0);
    for (let i = 0; i < 10_000; i += 1) expect((await limit.take(String(i))).allowed).toBe(true);
    // The rest share one count.
    expect([(await limit.take('x')).allowed, (await limit.take('y')).allowed, (await limit.take('0')).allowed]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

test('several processes together stay within the limit and a share each', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 20, max: 400 }), async (processes, most) => {
      const { lease } = table();
      const limits = Array.from({ length: processes }, () => new RateLimiter('key', most, lease, () => 0));
      let through = 0;
      for (let round = 0; round < 20; round += 1) {
        const got = await Promise.all(limits.map((limit) => allowed(limit, 'a', Math.ceil(most / 8))));
        through += got.reduce((sum, n) => sum + n, 0);
      }
      const share = Math.floor(most / 20);
      expect(through).toBeLessThanOrEqual(most + processes * share);
      expect(through).toBeGreaterThanOrEqual(most - processes * share);
    }),
    { numRuns: 30 },
  );
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Remedy, StallDetector } from './watchdog.js';

const INTERVAL_MS = 10;
const TIMEOUT_MS = 60;

/** Takes a sample every 10 ms: `b` is behind, `.` is not behind, `+` is behind with progress. */
function watch(story: string): Remedy[] {
  const detector = new StallDetector(TIMEOUT_MS, INTERVAL_MS);
  let progress = 0;
  return Array.from(story, (sign, i) => {
    if (sign === '+') progress += 1;
    return detector.observe({ now: i * INTERVAL_MS, progress: String(progress), behind: sign !== '.' });
  });
}

const firstOf = (story: string, remedy: Remedy): number => watch(story).indexOf(remedy);

describe('a part that is behind and makes no progress', () => {
  test('is restarted after the timeout and given up after another timeout', () => {
    expect(firstOf('b'.repeat(7), 'restart')).toBe(6);
    expect(firstOf('b'.repeat(13), 'give-up')).toBe(12);
  });

  test('is left alone while it makes progress, however slowly', () => {
    expect(watch('bbbbb+'.repeat(20))).not.toContain('restart');
  });

  test('is left alone when it was not behind in between', () => {
    expect(watch('bbbbbb.'.repeat(20))).not.toContain('restart');
  });

  test('may be restarted again after each restart that helped', () => {
    expect(watch('bbbbbbb+'.repeat(10)).filter((remedy) => remedy !== 'none')).toEqual(Array(10).fill('restart'));
  });
});

test('the time for which a process was suspended does not count as a stall', () => {
  const detector = new StallDetector(TIMEOUT_MS, INTERVAL_MS);
  const sample = { progress: '1', behind: true };
  expect([0, 3_600_000, 3_600_010, 7_200_000].map((now) => detector.observe({ now, ...sample }))).not.toContain('restart');
});

test('a part is given up only if it was restarted one timeout earlier and was behind without progress ever since', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('b', 'b', 'b', 'b', 'b', 'b', 'b', 'b', '.', '+'), maxLength: 300 }), (story) => {
      const remedies = watch(story);
      for (const [at, remedy] of remedies.entries()) {
        if (remedy === 'none') continue;
        expect(story.slice(at - TIMEOUT_MS / INTERVAL_MS + 1, at + 1)).toMatch(/^b+$/);
        if (remedy === 'give-up') expect(remedies[at - TIMEOUT_MS / INTERVAL_MS]).toBe('restart');
      }
    }),
  );
});

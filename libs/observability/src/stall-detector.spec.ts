import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Remedy, StallDetector } from './watchdog.js';

const EVERY = 10;
const TIMEOUT = 60;

/** Looks every 10 ms; `b` behind, `.` not behind, `+` behind but something got done. */
function watch(story: string): Remedy[] {
  const stall = new StallDetector(TIMEOUT, EVERY);
  let progress = 0;
  return Array.from(story, (sign, i) => {
    if (sign === '+') progress += 1;
    return stall.observe({ now: i * EVERY, progress: String(progress), behind: sign !== '.' });
  });
}

const firstOf = (story: string, remedy: Remedy): number => watch(story).indexOf(remedy);

describe('a part that is behind and gets nothing done', () => {
  test('is restarted after the timeout, and given up after as long again', () => {
    expect(firstOf('b'.repeat(7), 'restart')).toBe(6);
    expect(firstOf('b'.repeat(13), 'give-up')).toBe(12);
  });

  test('is left alone while it gets something done, however slowly', () => {
    expect(watch('bbbbb+'.repeat(20))).not.toContain('restart');
  });

  test('is left alone when it waits for something known in between', () => {
    expect(watch('bbbbbb.'.repeat(20))).not.toContain('restart');
  });

  test('has a second chance after each restart that helped', () => {
    expect(watch('bbbbbbb+'.repeat(10)).filter((remedy) => remedy !== 'none')).toEqual(Array(10).fill('restart'));
  });
});

test('a process that was stopped for an hour has not stalled for an hour', () => {
  const stall = new StallDetector(TIMEOUT, EVERY);
  const look = { progress: '1', behind: true };
  expect([0, 3_600_000, 3_600_010, 7_200_000].map((now) => stall.observe({ now, ...look }))).not.toContain('restart');
});

test('nothing is given up that was not restarted the timeout before, behind all the while and without progress', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('b', 'b', 'b', 'b', 'b', 'b', 'b', 'b', '.', '+'), maxLength: 300 }), (story) => {
      const remedies = watch(story);
      for (const [at, remedy] of remedies.entries()) {
        if (remedy === 'none') continue;
        expect(story.slice(at - TIMEOUT / EVERY + 1, at + 1)).toMatch(/^b+$/);
        if (remedy === 'give-up') expect(remedies[at - TIMEOUT / EVERY]).toBe('restart');
      }
    }),
  );
});

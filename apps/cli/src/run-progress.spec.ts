import { expect, test } from '@jest/globals';
import { formatDuration, TimeLeft } from './run-progress.js';

test('the time left follows from the speed of the last 30 s', () => {
  const left = new TimeLeft(100_000);
  expect(left.update(0, 0)).toBeUndefined();
  expect(left.update(1_000, 1_000)).toBe(99);
  // Ten times as slow from then on: after 30 s, what was fast does not count.
  const later = Array.from({ length: 40 }, (_, i) => left.update(1_000 + 100 * (i + 1), 1_000 * (i + 2)));
  expect(later.at(-1)).toBe(950);
});

test('there is no estimate while a run makes no progress, and none below zero', () => {
  const left = new TimeLeft(10);
  left.update(5, 0);
  expect(left.update(5, 1_000)).toBeUndefined();
  expect(left.update(12, 2_000)).toBe(0);
});

test.each([
  [45, '45 s'],
  [200, '3 min 20 s'],
  [7_500, '2 h 5 min'],
])('%i s are %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

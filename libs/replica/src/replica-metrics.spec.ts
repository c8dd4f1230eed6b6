import { expect, test } from '@jest/globals';
import { ApplyLag } from './replica-metrics.js';

const SECOND = 1_000;
const waiting = (
  ...partitions: readonly [partition: number, from: number, count: number][]
): Map<number, { count: number; from: number }> => new Map(partitions.map(([partition, from, count]) => [partition, { from, count }]));

test('the age is that of the oldest change that is being applied, or could not be applied', () => {
  const lag = new ApplyLag();
  lag.received(0, 10, 5 * SECOND);
  lag.received(1, 20, 2 * SECOND);
  expect(lag.seconds(waiting([0, 10, 3], [1, 20, 1]), 12 * SECOND)).toBe(10);
  lag.applied(1);
  expect(lag.seconds(waiting([0, 10, 3], [1, 21, 0]), 12 * SECOND)).toBe(7);
  lag.applied(0);
  expect(lag.seconds(waiting([0, 13, 0], [1, 21, 0]), 13 * SECOND)).toBe(0);
});

test('a change that no batch has read is as old as it has been seen to wait, however long its partition was idle', () => {
  const lag = new ApplyLag();
  expect(lag.seconds(waiting([0, 10, 1]), 100 * SECOND)).toBe(0);
  expect(lag.seconds(waiting([0, 10, 4]), 130 * SECOND)).toBe(30);
  expect(lag.seconds(waiting([0, 12, 2]), 160 * SECOND)).toBe(0);
});

test('a batch that another process has applied meanwhile is forgotten', () => {
  const lag = new ApplyLag();
  lag.received(0, 10, 0);
  expect(lag.seconds(waiting([0, 10, 5]), 50 * SECOND)).toBe(50);
  expect(lag.seconds(waiting([0, 15, 1]), 60 * SECOND)).toBe(0);
});

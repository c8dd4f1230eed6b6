import { describe, expect, test } from '@jest/globals';
import { KINDS } from './kinds.js';
import { DECK, planOf } from './plan.js';

const kindsOf = (seeds: readonly number[]): string[] => seeds.flatMap((seed) => planOf(seed).faults.map(({ kind }) => kind)).sort();

test('there are at least 25 kinds', () => {
  expect(Object.keys(KINDS).length).toBeGreaterThanOrEqual(25);
});

test.each([0, 10, 4_710])(`the ten seeds from %d have every kind once`, (from) => {
  expect(kindsOf(Array.from({ length: DECK }, (_, index) => from + index))).toEqual(Object.keys(KINDS).sort());
});

test('a seed has always the same plan, and each ten another deal', () => {
  expect(planOf(42)).toEqual(planOf(42));
  expect(kindsOf([0])).not.toEqual(kindsOf([10]));
});

test('what harms a slot comes with capture by wal', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const plan = planOf(seed);
    const needsSlot = plan.faults.some(({ kind }) => KINDS[kind]!.needsSlot);
    expect(needsSlot && plan.capture !== 'wal').toBe(false);
  }
});

describe('with kinds of one’s own', () => {
  test('there are no others', () => {
    expect(new Set(planOf(1, ['poison', 'db1-cut']).faults.map(({ kind }) => kind))).toEqual(new Set(['poison', 'db1-cut']));
  });

  test('an unknown one is told, with those that there are', () => {
    expect(() => planOf(1, ['poison', 'earthquake'])).toThrow(/^No such kind of fault: earthquake\. There are api-killed, /);
  });
});

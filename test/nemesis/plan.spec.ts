import { describe, expect, test } from '@jest/globals';
import { KINDS } from './kinds.js';
import { DECK, planOf } from './plan.js';

const kindsOf = (seeds: readonly number[]): string[] => seeds.flatMap((seed) => planOf(seed).faults.map(({ kind }) => kind)).sort();

test('at least 25 kinds of faults exist', () => {
  expect(Object.keys(KINDS).length).toBeGreaterThanOrEqual(25);
});

test.each([0, 10, 4_710])(`the ten seeds from %d have every kind of fault once`, (from) => {
  expect(kindsOf(Array.from({ length: DECK }, (_, index) => from + index))).toEqual(Object.keys(KINDS).sort());
});

test('a seed always has the same plan, and every ten seeds distribute the kinds differently', () => {
  expect(planOf(42)).toEqual(planOf(42));
  expect(kindsOf([0])).not.toEqual(kindsOf([10]));
});

test('a fault that harms a slot is planned only with capture by wal', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const plan = planOf(seed);
    const needsSlot = plan.faults.some(({ kind }) => KINDS[kind]!.needsSlot);
    expect(needsSlot && plan.capture !== 'wal').toBe(false);
  }
});

describe('a plan with chosen kinds', () => {
  test('has no other kinds', () => {
    expect(new Set(planOf(1, ['poison', 'db1-cut']).faults.map(({ kind }) => kind))).toEqual(new Set(['poison', 'db1-cut']));
  });

  test('is refused for an unknown kind, with a list of the known kinds', () => {
    expect(() => planOf(1, ['poison', 'earthquake'])).toThrow(/^Unknown kind of fault: earthquake\. Known kinds are api-killed, /);
  });
});

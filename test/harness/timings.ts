import { DEFAULT_TIMINGS, type Timings } from '#config';

/** Factor by which the tests shorten what the service waits for. */
const FACTOR = 0.1;
/** Bounds for real work and for what others decide: a slow machine needs them whole. A test of such a bound gives its world another. */
const KEPT = /(?:timeout|grace|window)/i;

/** The variable by which a server process of a test is given its timings. */
export const TIMINGS_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_TIMINGS';

/** The durations with which the tests run the service: its pauses and intervals are a tenth of production's. */
export const TEST_TIMINGS: Timings = shortened(DEFAULT_TIMINGS);

function shortened<T extends object>(timings: T): T {
  const entries = Object.entries(timings).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'number') return [name, KEPT.test(name) ? value : Math.max(1, Math.round(value * FACTOR))];
    return [name, typeof value === 'object' && value !== null ? shortened(value) : value];
  });
  return Object.fromEntries(entries) as T;
}

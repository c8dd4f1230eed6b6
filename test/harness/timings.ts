import { DEFAULT_TIMINGS, type Timings } from '#config';

/** Factor by which the tests shorten what the service waits for. */
const FACTOR = 0.1;
/** Bounds for work and for what others decide: a slow machine needs them whole. A test of such a bound gives its world another. */
const BOUNDS = /(?:timeout|grace|window|waitMax|late|stalledAfter|startup|partRestart|sampleInterval)/i;
/** Polls that are quick already: more of them would only cost processor time. */
const QUICK = new Set([
  'fetchWaitMs',
  'progressIntervalMs',
  'writersPollMs',
  'publishPollMs',
  'minPollMs',
  'maxPollMs',
  'canaryPollFirstMs',
]);

/** The variable by which a server process of a test is given its timings. */
export const TIMINGS_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_TIMINGS';

/** The durations with which the tests run the service: its pauses and intervals are a tenth of production's. */
export const TEST_TIMINGS: Timings = testTimings();

function testTimings(): Timings {
  const timings = shortened(DEFAULT_TIMINGS);
  // Longer than a slow machine may keep a process from renewing it.
  return { ...timings, reconciliation: { ...timings.reconciliation, runLeaseMs: 4_000 } };
}

function shortened<T extends object>(timings: T): T {
  const entries = Object.entries(timings).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'number') return [name, BOUNDS.test(name) || QUICK.has(name) ? value : value * FACTOR];
    return [name, typeof value === 'object' && value !== null ? shortened(value) : value];
  });
  return Object.fromEntries(entries) as T;
}

import { DEFAULT_TIMINGS, type Timings } from '#config';

/** Factor by which the tests shorten the service's waits. */
const FACTOR = 0.1;
/** Timeouts for work and for other programs, which a slow machine needs in full. A test of such a timeout gives its world another value. */
const BOUNDS = /(?:timeout|grace|window|waitMax|late|stalledAfter|startup|partRestart|sampleInterval|probe)/i;
/** Polls that are already frequent: shorter intervals would only cost processor time. */
const QUICK = new Set([
  'fetchWaitMs',
  'progressIntervalMs',
  'writersPollMs',
  'publishPollMs',
  'minPollMs',
  'maxPollMs',
  'canaryPollFirstMs',
]);

/** The environment variable with the timings of a test's server process. */
export const TIMINGS_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_TIMINGS';

/** The durations with which the tests run the service: its pauses and intervals are a tenth of production's. */
export const TEST_TIMINGS: Timings = testTimings();

/** Timeouts (ms) of the capture's sessions for tests of a capture that is cut off: two fifths of production's. */
export const SHORT_SESSIONS: Partial<Timings> = {
  sync: {
    ...TEST_TIMINGS.sync,
    statementTimeoutMs: 3_000,
    answerTimeoutMs: 3_500,
    sessionIdleTimeoutMs: 3_000,
    senderTimeoutMs: 4_000,
    streamCheckMs: 4_000,
  },
};

function testTimings(): Timings {
  const timings = shortened(DEFAULT_TIMINGS);
  // The lease is longer than a slow machine may delay its renewal.
  return { ...timings, reconciliation: { ...timings.reconciliation, runLeaseMs: 4_000 } };
}

function shortened<T extends object>(timings: T): T {
  const entries = Object.entries(timings).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'number') return [name, BOUNDS.test(name) || QUICK.has(name) ? value : value * FACTOR];
    return [name, typeof value === 'object' && value !== null ? shortened(value) : value];
  });
  return Object.fromEntries(entries) as T;
}

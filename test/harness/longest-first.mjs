import Sequencer from '@jest/test-sequencer';

/**
 * Specs that take long, the longest first: jest knows only their sizes, and would leave the longest to run alone at the end. Those
 * that mostly wait stand beside those that keep the processors busy, which otherwise are idle for a third of the second half.
 */
const LONG = [
  // Half of the time of the one of two workers, and busy.
  'test/faults/nemesis',
  'test/takeover',
  'test/watchdog-patience',
  'test/reconciliation/lost-history',
  'test/reconciliation/steering',
  'test/black-hole',
  'test/reconciliation/backfill',
  'test/capture/cut-off',
  // From here on both workers come by.
  'test/outages',
  'test/random-operations',
  'test/capture/invalidated-slot',
  'test/change-log/histories',
  'test/watchdog',
  'test/reconciliation/pass',
  'test/lifecycle/rolling-restart',
  'test/replica/slow-database',
  'test/standalone/life',
];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const index = LONG.findIndex((name) => path.endsWith(`/${name}.spec.ts`));
      return index === -1 ? LONG.length : index;
    };
    return [...super.sort(tests)].sort((a, b) => rank(a) - rank(b));
  }
}

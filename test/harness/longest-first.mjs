import Sequencer from '@jest/test-sequencer';

/** Specs that take half a minute or more, the longest first. Jest knows only their sizes, and would leave the longest to run alone at the end. */
const LONG = [
  'test/faults/nemesis',
  'test/takeover',
  'test/outages',
  'test/watchdog-patience',
  'test/reconciliation/backfill',
  'test/change-log/histories',
  'test/random-operations',
  'test/lifecycle/rolling-restart',
  'test/standalone/life',
  'test/capture/invalidated-slot',
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

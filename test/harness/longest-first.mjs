import Sequencer from '@jest/test-sequencer';

/** Slow specs, the slowest first: Jest knows only their sizes, and would run the slowest alone at the end. */
const LONG = [
  'test/faults/lost-history',
  'test/pipeline/existing-rows/attach-db1',
  'test/pipeline/existing-rows/converted-types',
  'test/standalone/life',
  'test/faults/takeover',
  'test/faults/watchdog-patience',
  'test/faults/outages',
  'test/pipeline/random-operations',
  'test/faults/invalidated-slot',
  'test/process/server-process',
  'test/pipeline/reconciliation/backfill',
  'test/faults/watchdog',
  'test/faults/black-hole',
  'test/faults/hanging-kafka',
  'test/process/rolling-restart',
  'test/standalone/refusals',
  'test/process/start-up',
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

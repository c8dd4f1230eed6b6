import Sequencer from '@jest/test-sequencer';

/**
 * Slow specs, the slowest first: Jest knows only their sizes, and would run the slowest alone at the end. Specs that mostly wait
 * alternate with specs that keep the processors busy, which would otherwise be idle for a third of the second half.
 */
const LONG = [
  'test/faults/takeover',
  'test/faults/watchdog-patience',
  'test/faults/lost-history',
  'test/pipeline/reconciliation/run-commands',
  'test/faults/black-hole',
  'test/pipeline/reconciliation/backfill',
  'test/faults/capture-cut-off',
  // Both workers reach the specs from here on.
  'test/faults/outages',
  'test/pipeline/random-operations',
  'test/faults/invalidated-slot',
  'test/pipeline/change-log/histories',
  'test/faults/watchdog',
  'test/pipeline/reconciliation/run',
  'test/process/rolling-restart',
  'test/faults/slow-database',
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

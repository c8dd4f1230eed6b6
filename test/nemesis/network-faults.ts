import type { PartName } from '../harness/parts.js';
import type { Random } from '../harness/random-operations.js';
import type { Mode } from '../harness/tcp-proxy.js';
import type { Fault, Faults } from './fault.js';

const PARTS: readonly PartName[] = ['db1', 'db2', 'kafka'];

/** Faults of the network connection to a part. */
const MODES = {
  refused: () => ({ kind: 'refuse' }),
  'black-hole': () => ({ kind: 'black-hole' }),
  forgotten: () => ({ kind: 'black-hole', forgets: true }),
  reset: () => ({ kind: 'reset' }),
  latency: (random) => ({ kind: 'latency', ms: 50 + random.below(250) }),
  'half-closed': (random) => ({ kind: 'half-close', towards: random.pick(['server', 'client']) }),
  cut: (random) => ({ kind: 'cut', afterBytes: random.below(4_000) }),
} satisfies Readonly<Record<string, (random: Random) => Mode>>;

function onTheWayTo(part: PartName, modeOf: (random: Random) => Mode): Fault {
  return {
    uses: [`${part}-path`],
    inject: async ({ rig: { proxies } }, random) => {
      await proxies[part].set(modeOf(random));
      return () => proxies[part].set({ kind: 'pass' });
    },
  };
}

const modes: Faults = Object.fromEntries(
  PARTS.flatMap((part) => Object.entries(MODES).map(([name, modeOf]) => [`${part}-${name}`, onTheWayTo(part, modeOf)])),
);

/** Every mode of the proxy in front of every part. */
export const networkFaults: Faults = {
  ...modes,
  'db2-forgotten': onTheWayTo('db2', MODES.forgotten),
};

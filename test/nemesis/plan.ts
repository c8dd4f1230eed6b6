import { Random } from '../harness/random-operations.js';
import { KINDS } from './kinds.js';

/** Seeds among which all kinds are dealt out once. */
export const DECK = 10;
/** Within it the faults begin, ms. They last a little each, so that they overlap. */
const BEGIN_WITHIN_MS = 3_500;
const LAST_MS = { shortest: 800, longest: 2_500 };

export interface PlannedFault {
  readonly kind: string;
  /** After the start of the workload, ms. Later when what it takes hold of is still in another one's hands. */
  readonly atMs: number;
  readonly forMs: number;
}

export interface Plan {
  readonly seed: number;
  readonly capture: 'wal' | 'poll';
  readonly faults: readonly PlannedFault[];
}

/**
 * What a seed does. Without `kinds`, all of them are dealt like cards to ten seeds in a row (0–9, 10–19, …), in another order for
 * each ten: every ten seeds have every kind. With `kinds`, a seed has up to five of those.
 * @throws Error naming a kind that there is not.
 */
export function planOf(seed: number, kinds: readonly string[] = []): Plan {
  const unknown = kinds.filter((kind) => !(kind in KINDS));
  if (unknown.length > 0) throw new Error(`No such kind of fault: ${unknown.join(', ')}. There are ${Object.keys(KINDS).join(', ')}.`);
  const random = new Random(seed + 7_919);
  const dealt = kinds.length > 0 ? chosen(kinds, random) : handOf(seed);
  const faults = dealt.map((kind) => ({
    kind,
    atMs: random.below(BEGIN_WITHIN_MS),
    forMs: LAST_MS.shortest + random.below(LAST_MS.longest - LAST_MS.shortest),
  }));
  const capture = dealt.some((kind) => KINDS[kind]!.needsSlot) ? 'wal' : random.pick(['wal', 'wal', 'poll'] as const);
  return { seed, capture, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

function handOf(seed: number): string[] {
  const deck = new Random(Math.floor(seed / DECK)).shuffled(Object.keys(KINDS));
  return deck.filter((_, place) => place % DECK === ((seed % DECK) + DECK) % DECK);
}

function chosen(kinds: readonly string[], random: Random): string[] {
  const some = random.shuffled(kinds).slice(0, 5);
  return some.length >= 3 ? some : [...some, ...some];
}

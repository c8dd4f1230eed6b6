import { Random } from '../harness/random-operations.js';
import { KINDS } from './kinds.js';

/** Number of consecutive seeds among which each kind is dealt once. */
export const DECK = 10;
/** Period (ms) in which the faults begin. Each lasts a while, so that they overlap. */
const BEGIN_WITHIN_MS = 3_500;
const LAST_MS = { shortest: 800, longest: 2_500 };

export interface PlannedFault {
  readonly kind: string;
  /** Start (ms) after the start of the workload. The fault starts later while another one uses its resources. */
  readonly atMs: number;
  readonly forMs: number;
}

export interface Plan {
  readonly seed: number;
  readonly capture: 'wal' | 'poll';
  readonly faults: readonly PlannedFault[];
}

/**
 * Returns the plan of a seed. Without `kinds`, all kinds are dealt like cards to ten consecutive seeds (0–9, 10–19, …), in a
 * different order for each ten: every ten seeds have every kind. With `kinds`, a seed has up to five of those.
 * @throws Error naming the unknown kinds.
 */
export function planOf(seed: number, kinds: readonly string[] = []): Plan {
  const unknown = kinds.filter((kind) => !(kind in KINDS));
  if (unknown.length > 0)
    throw new Error(`Unknown kind of fault: ${unknown.join(', ')}. Known kinds are ${Object.keys(KINDS).join(', ')}.`);
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

import type { Random } from '../harness/random-operations.js';

const HOT = 40;
const LONG_TAIL = 5_000;
const STATUSES = ['pending', 'trialing', 'active', 'past_due', 'paused', 'canceled', 'expired'] as const;

/** Returns a hot email, or one of the long tail. */
export function someEmail(random: Random): string {
  return random.chance(0.7) ? `hot${random.below(HOT)}@example.com` : `tail${random.below(LONG_TAIL)}@example.com`;
}

export function someStatus(random: Random): string {
  return random.pick(STATUSES);
}

export function somePlan(random: Random): string {
  return `p${random.below(1_000)}`;
}

import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../harness/random-operations.js';
import type { Heal, Resource } from './fault.js';
import { KINDS } from './kinds.js';
import type { Plan, PlannedFault } from './plan.js';
import type { Scene } from './scene.js';

const POLL_INTERVAL_MS = 20;

/** Outcome of a planned fault. */
export interface Injected {
  readonly kind: string;
  /** The reason, if the fault was not injected. */
  readonly skipped?: string;
}

/** Executes the plan. Resolves when the last fault has ended, and rejects when a fault can't be ended. */
export async function execute(plan: Plan, scene: Scene): Promise<Injected[]> {
  const taken = new Set<Resource>();
  return Promise.all(plan.faults.map((fault, index) => happen(fault, new Random(plan.seed * 100 + index), scene, taken)));
}

async function happen({ kind, atMs, forMs }: PlannedFault, random: Random, scene: Scene, taken: Set<Resource>): Promise<Injected> {
  const { uses, inject, impossible } = KINDS[kind]!;
  const skipped = impossible?.(scene.rig);
  if (skipped !== undefined) return note(scene, kind, skipped);
  await delay(atMs);
  while (uses.some((resource) => taken.has(resource))) await delay(POLL_INTERVAL_MS);
  for (const resource of uses) taken.add(resource);
  scene.history.note('fault', { kind, forMs });
  let heal: Heal;
  try {
    heal = await inject(scene, random);
  } catch (error) {
    release(taken, uses);
    return note(scene, kind, (error as Error).message);
  }
  await delay(forMs);
  await heal();
  scene.history.note('healed', { kind });
  release(taken, uses);
  return { kind };
}

function release(taken: Set<Resource>, uses: readonly Resource[]): void {
  for (const resource of uses) taken.delete(resource);
}

function note(scene: Scene, kind: string, skipped: string): Injected {
  scene.history.note('skipped', { kind, why: skipped });
  return { kind, skipped };
}

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { areEqual } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { CHECKS } from './checker.js';
import { collectFinal } from './collect.js';
import type { Evidence } from './evidence.js';
import { execute, type Injected } from './execute.js';
import { History, type Outcome } from './history.js';
import { KINDS } from './kinds.js';
import { planOf, type Plan } from './plan.js';
import type { Rig } from './rig.js';
import { Scene } from './scene.js';
import { Watch } from './watch.js';
import { Workload } from './workload.js';

/** Time limit (ms) for the recovery after the end of the last fault. */
const RECOVERED_WITHIN_MS = 60_000;
const EQUAL = 'both databases are equal';
/** Maximum number of violations that are shown for a check. */
const SHOWN = 5;

export interface Result {
  readonly plan: Plan;
  readonly injected: readonly Injected[];
  readonly operations: Readonly<Record<Outcome, number>>;
  /** Time (ms) from the end of the last fault until an API write succeeds and both databases are equal. */
  readonly recoveryMs: number;
  readonly peakHeap: number;
  readonly durationMs: number;
  /** The first violations of each check that does not hold, by its name. */
  readonly violations: Readonly<Record<string, readonly string[]>>;
  /** Number of violations of each check. */
  readonly counts: Readonly<Record<string, number>>;
  /** Files for the analysis of a violation: the history and the output of the processes. */
  readonly files: readonly string[];
}

export interface RunOptions {
  /** Folder of the history. */
  readonly folder: string;
  /** The kinds of faults to use; all by default. */
  readonly kinds?: readonly string[];
  /** Whether the history and the output of the processes are kept even if the seed passes. */
  readonly keep?: boolean;
}

/** Plays a seed on the rig, and checks the evidence. */
export async function runSeed(rig: Rig, seed: number, { folder, kinds = [], keep = false }: RunOptions): Promise<Result> {
  const started = performance.now();
  const plan = planOf(seed, kinds);
  const file = join(folder, `seed-${seed}.jsonl`);
  const history = new History(file);
  history.note('plan', { ...plan });
  const scene = await Scene.open(
    rig,
    { capture: plan.capture, smallDisk: plan.faults.some(({ kind }) => kind === 'db2-disk-full') },
    history,
  );
  try {
    const { injected, evidence, recoveryMs } = await play(plan, scene, history);
    const violations: Record<string, string[]> = {};
    const counts: Record<string, number> = {};
    for (const { name, violations: find } of CHECKS) {
      const found = find(evidence);
      counts[name] = found.length;
      if (found.length > 0) violations[name] = [...found.slice(0, SHOWN), ...(found.length > SHOWN ? [`… ${found.length} in all`] : [])];
    }
    history.note('verdict', { violations, recoveryMs, peakHeap: evidence.peakHeap });
    const output = `${file}.output`;
    const failed = Object.keys(violations).length > 0;
    if (failed || keep) writeFileSync(output, scene.fleet.output());
    await history.close();
    if (!failed && !keep) rmSync(file);
    const count = (outcome: Outcome): number => history.operations.filter((operation) => operation.outcome === outcome).length;
    return {
      plan,
      injected,
      operations: { ok: count('ok'), fail: count('fail'), info: count('info') },
      recoveryMs,
      peakHeap: evidence.peakHeap,
      durationMs: performance.now() - started,
      violations,
      counts,
      files: failed ? [file, output] : [],
    };
  } finally {
    await scene.close();
  }
}

async function play(plan: Plan, scene: Scene, history: History): Promise<{ injected: Injected[]; evidence: Evidence; recoveryMs: number }> {
  const watch = new Watch(scene);
  const workload = new Workload({ seed: plan.seed, history, apiUrl: () => scene.fleet.url('api'), db1: scene.db1Config });
  const injected = await execute(plan, scene);
  const recovery = await recover(scene, workload);
  history.note('recovered', { ...recovery });
  await watch.stop();
  const evidence: Evidence = {
    ...(await collectFinal(scene, plan.seed)),
    operations: history.operations,
    published: watch.published,
    applied: watch.applied,
    slotWasLost: injected.some(({ kind }) => KINDS[kind]!.losesSlot),
    exits: scene.fleet.exits,
    peakHeap: scene.fleet.peakHeap,
    notRecovered: recovery.missing,
  };
  return { injected, evidence, recoveryMs: recovery.after[EQUAL] ?? RECOVERED_WITHIN_MS };
}

/** Returns the time (ms since the end of the last fault) after which each condition held again, and the conditions that did not hold in time. */
interface Recovery {
  readonly after: Readonly<Record<string, number>>;
  readonly missing: readonly string[];
}

async function recover(scene: Scene, workload: Workload): Promise<Recovery> {
  const started = performance.now();
  const after: Record<string, number> = {};
  const missing: string[] = [];
  const until = async (what: string, condition: (withinMs: number) => Promise<unknown>): Promise<void> => {
    try {
      await condition(Math.max(1_000, started + RECOVERED_WITHIN_MS - performance.now()));
      after[what] = Math.round(performance.now() - started);
    } catch (error) {
      missing.push(`${what}: ${(error as Error).message}`);
    }
  };
  await until('an API write succeeds', (ms) => eventually(() => workload.probeApi(), ms));
  await workload.stop();
  await until(EQUAL, (ms) => eventually(() => areEqual(scene.world), ms));
  await until('every process is ready', (ms) => scene.fleet.ready(ms));
  return { after, missing };
}

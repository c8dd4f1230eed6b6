import type { Random } from '../harness/random-operations.js';
import type { Rig } from './rig.js';
import type { Scene } from './scene.js';

/** What a fault takes hold of, or needs to be well. Two that have one in common never happen at the same time. */
export type Resource = 'api' | 'sync' | 'replica' | 'db1' | 'db2' | 'kafka' | 'db1-path' | 'db2-path' | 'kafka-path';

/** Ends a fault. */
export type Heal = () => Promise<void>;

export interface Fault {
  readonly uses: readonly Resource[];
  /** Does the harm; what it gives ends it. */
  readonly inject: (scene: Scene, random: Random) => Promise<Heal>;
  /** Only capture by `wal` has what it harms. */
  readonly needsSlot?: boolean;
  /** Capture by `wal` is left without its slot, and makes a new one. */
  readonly losesSlot?: boolean;
  /** The service may take so long to notice, beyond the time to recover, ms. */
  readonly noticedWithinMs?: number;
  /** Why this machine can't have it, if it can't. */
  readonly impossible?: (rig: Rig) => string | undefined;
}

/** By name. */
export type Faults = Readonly<Record<string, Fault>>;

/** Nothing is left to end. */
export const over: Heal = () => Promise.resolve();

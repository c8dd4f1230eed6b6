import type { Random } from '../harness/random-operations.js';
import type { Rig } from './rig.js';
import type { Scene } from './scene.js';

/** A resource that a fault disturbs or needs intact. Two faults with a common resource are never injected at the same time. */
export type Resource = 'api' | 'sync' | 'replica' | 'db1' | 'db2' | 'kafka' | 'db1-path' | 'db2-path' | 'kafka-path';

/** Ends a fault. */
export type Heal = () => Promise<void>;

export interface Fault {
  readonly uses: readonly Resource[];
  /** Injects the fault. @returns the function that ends it. */
  readonly inject: (scene: Scene, random: Random) => Promise<Heal>;
  /** The fault harms the slot, which only capture by `wal` has. */
  readonly needsSlot?: boolean;
  /** Capture by `wal` loses its slot, and creates a new one. */
  readonly losesSlot?: boolean;
  /** Returns the reason why this machine can't inject the fault, or undefined if it can. */
  readonly impossible?: (rig: Rig) => string | undefined;
}

/** Faults by name. */
export type Faults = Readonly<Record<string, Fault>>;

/** Ends a fault that has already ended by itself. */
export const over: Heal = () => Promise.resolve();

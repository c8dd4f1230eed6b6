import { CONTENDERS, QUICK } from './contenders/all.js';
import type { Options } from './options.js';
import type { Contender, Pipeline, Stand } from './pipeline.js';
import type { Column, Results, Table } from './results.js';
import { expectEqual } from './tables.js';

/** A row that is measured once in each round. */
export interface Entry {
  /** Its name in the report. */
  readonly row: string;
  /** Measures it with databases of this name. */
  readonly measure: (database: string, stand: Stand, results: Results) => Promise<void>;
}

/** Servers that an experiment needs: ordinary ones, with proxies that count bytes, or with TLS. */
export type Setting = 'plain' | 'proxied' | 'tls';

/** Workloads that are measured on the same pipelines. */
export interface Experiment {
  readonly workloads: readonly string[];
  readonly setting: Setting;
  readonly tables: readonly Table[];
  readonly entries: (options: Options) => readonly Entry[];
}

export const RATE: Column = { heading: 'changes/s', figure: 'rate', digits: 0 };
export const RATE_CHART = { unit: 'changes/s', figures: [['rate', 'changes/s']] } as const;

/** Returns a row for a contender. Its tables must be equal at the end. */
export function entryOf(
  contender: Contender,
  measure: (pipeline: Pipeline, stand: Stand, results: Results) => Promise<void>,
  row = contender.title,
): Entry {
  return {
    row,
    measure: async (database, stand, results) => {
      const pipeline = await contender.prepare(database, stand);
      try {
        await measure(pipeline, stand, results);
        await expectEqual(pipeline);
      } finally {
        await pipeline.close();
      }
    },
  };
}

/** Returns the contenders that are to be measured where all can be. */
export function chosenContenders({ full, only }: Options): readonly Contender[] {
  return CONTENDERS.filter(({ name }) => only?.includes(name) ?? (full || QUICK.includes(name)));
}

/** Returns how many of the changes a contender gets. */
export function shareOf({ share }: Contender, changes: number): number {
  return Math.max(1_000, changes * share);
}

import { parseArgs } from 'node:util';

/** Workloads of a run without names. */
const QUICK_WORKLOADS = ['catch-up', 'drain', 'load', 'spaced', 'cost', 'skew', 'write-cost'];

const USAGE = 'npm run bench [-- [WORKLOAD…] [--full] [--write] [--rounds=3] [--changes=N] [--only=CONTENDER,…]]';

/** Amounts of work. */
export interface Sizes {
  readonly changes: number;
  readonly spacedChanges: number;
  /** Duration (s) of each part of a load. */
  readonly seconds: number;
  /** Numbers of rows of the workload `rows`. */
  readonly rows: readonly number[];
  /** Bytes of all rows of the workload `row-size` together. */
  readonly bytes: number;
}

const SIZES: Readonly<Record<'quick' | 'full', Sizes>> = {
  quick: { changes: 20_000, spacedChanges: 300, seconds: 3, rows: [10_000, 100_000], bytes: 40e6 },
  full: { changes: 200_000, spacedChanges: 3_000, seconds: 10, rows: [1e5, 1e6, 1e7], bytes: 400e6 },
};

export interface Options {
  readonly workloads: readonly string[];
  readonly full: boolean;
  /** Whether the page with the results and its charts are written. */
  readonly write: boolean;
  /** Number of rounds. An odd number, so that a median is a measurement. */
  readonly rounds: number;
  /** Names of the contenders to measure. Undefined for the usual ones. */
  readonly only: readonly string[] | undefined;
  readonly sizes: Sizes;
}

/** Reads the arguments of the command line, given the names of all workloads and contenders. @throws Error with the usage for invalid arguments. */
export function readOptions(args: string[], workloads: readonly string[], contenders: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      full: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      rounds: { type: 'string', default: process.env.ROUNDS ?? '3' },
      changes: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const only = values.only?.split(',');
  const known = positionals.every((name) => workloads.includes(name)) && (only ?? []).every((name) => contenders.includes(name));
  const rounds = Number(values.rounds);
  const sizes = SIZES[values.full ? 'full' : 'quick'];
  const changes = Number(values.changes ?? sizes.changes);
  if (!known || !(Number.isInteger(rounds) && rounds >= 1) || !(changes >= 1_000)) {
    const names = `Workloads: ${workloads.join(', ')}\nContenders: ${contenders.join(', ')}`;
    throw new Error(`Invalid arguments: ${args.join(' ')}\n${USAGE}\n${names}`);
  }
  return {
    workloads: positionals.length > 0 ? positionals : values.full ? workloads : QUICK_WORKLOADS,
    full: values.full,
    write: values.write,
    rounds,
    only,
    sizes: { ...sizes, changes: Math.ceil(changes / 1_000) * 1_000 },
  };
}

import { chosenContenders, entryOf, type Experiment, RATE, RATE_CHART, shareOf } from '../experiment.js';
import { LEVELS, measureLoad } from '../load.js';
import { type Carried, catchUp, drain, spacedChanges } from '../measure.js';
import type { Options } from '../options.js';
import type { Contender, Pipeline, Stand } from '../pipeline.js';
import { peakMemory, SERVER_PARTS } from '../processor-time.js';
import type { Column, Results } from '../results.js';

const CPU_COLUMNS: readonly Column[] = [
  { heading: 'own processes', figure: 'own', digits: 1 },
  ...SERVER_PARTS.map((part) => ({ heading: part, figure: part, digits: 1 })),
];

/** Measures a contender in a sequence of workloads, on one pipeline. */
export const FLOW: Experiment = {
  workloads: ['catch-up', 'drain', 'load', 'spaced', 'cost'],
  setting: 'plain',
  tables: [
    {
      name: 'catch-up',
      title: 'Catching up',
      description: 'Rows are inserted in transactions of 1,000 before the pipeline starts. From the first row in Database 2 to the last.',
      columns: [RATE],
      chart: RATE_CHART,
    },
    {
      name: 'drain',
      title: 'Draining while 1,000-row transactions are written',
      description: 'From the first write until the last change is in Database 2. "written" is the rate of the writer beside it.',
      columns: [RATE, { heading: 'written/s', figure: 'written', digits: 0 }],
      chart: RATE_CHART,
    },
    {
      name: 'load',
      title: 'Single-row transactions from 32 connections',
      description:
        'The highest rate of changes that reached Database 2, then the latency (ms) at shares of that rate, from the commit in Database 1 until Database 2 shows the change.',
      columns: [
        { heading: 'highest/s', figure: 'highest', digits: 0 },
        ...LEVELS.flatMap((level) =>
          (['p50', 'p99'] as const).map((name) => ({ heading: `${name} at ${level * 100} %`, figure: `${name} at ${level}`, digits: 1 })),
        ),
      ],
      chart: { unit: 'ms (p99)', figures: LEVELS.map((level) => [`p99 at ${level}`, `${level * 100} %`]) },
    },
    {
      name: 'spaced',
      title: 'Spaced single changes',
      description: 'One change at a time, 20 ms after the previous one arrived. Latency in ms.',
      columns: [50, 95, 99, 99.9].map((share) => ({ heading: `p${share}`, figure: `p${share}`, digits: 1 })),
      chart: { unit: 'ms', figures: [50, 95, 99, 99.9].map((share) => [`p${share}`, `p${share}`]) },
    },
    {
      name: 'cost of catching up',
      title: 'CPU time of a change that is caught up',
      description: 'In µs of both cores, by part. "DB1 other" and "DB2" include background processes.',
      columns: CPU_COLUMNS,
    },
    {
      name: 'cost of draining',
      title: 'CPU time of a change that is drained',
      description: 'The same while 1,000-row transactions are written.',
      columns: CPU_COLUMNS,
    },
    {
      name: 'processes',
      title: 'Processes of the contenders',
      description: 'CPU time of a change (µs), and the peak of the resident memory over all these workloads.',
      columns: [
        { heading: 'catching up', figure: 'catching up', digits: 1 },
        { heading: 'draining', figure: 'draining', digits: 1 },
        { heading: 'peak MB', figure: 'memory', digits: 0 },
      ],
    },
  ],
  entries: (options) =>
    chosenContenders(options).map((contender) =>
      entryOf(contender, (pipeline, stand, results) => measureFlow(contender, pipeline, stand, results, options)),
    ),
};

async function measureFlow(contender: Contender, pipeline: Pipeline, stand: Stand, results: Results, options: Options): Promise<void> {
  const { workloads, sizes } = options;
  const has = (name: string): boolean => workloads.includes(name);
  const add = (table: string, figures: Record<string, number>): void => results.add(table, contender.title, figures);
  const rows = shareOf(contender, sizes.changes);
  const caughtUp = await catchUp(pipeline, stand.servers, rows);
  if (has('catch-up')) add('catch-up', { rate: caughtUp.rate });
  if (has('drain') || has('cost')) {
    const drained = await drain(pipeline, stand.servers, rows);
    if (has('drain')) add('drain', { rate: drained.rate, written: drained.written });
    if (has('cost')) recordCost(contender, pipeline, results, rows, caughtUp, drained);
  }
  if (has('load')) add('load', await measureLoad(pipeline, rows, sizes.seconds));
  if (has('spaced')) add('spaced', await spacedChanges(pipeline, rows, sizes.spacedChanges));
}

function recordCost(contender: Contender, pipeline: Pipeline, results: Results, rows: number, caughtUp: Carried, drained: Carried): void {
  const own = new Set(pipeline.processes().map(([part]) => part));
  const perChange = ({ processorTime }: Carried, part: string): number => ((processorTime.get(part) ?? 0) * 1_000) / rows;
  for (const [table, carried] of [
    ['cost of catching up', caughtUp],
    ['cost of draining', drained],
  ] as const) {
    const parts = SERVER_PARTS.map((part) => [part, perChange(carried, part)]);
    const sum = [...own].reduce((total, part) => total + perChange(carried, part), 0);
    results.add(table, contender.title, { own: sum, ...(Object.fromEntries(parts) as Record<string, number>) });
  }
  for (const [part, memory] of peakMemory(pipeline))
    results.add('processes', `${contender.title}: ${part}`, {
      'catching up': perChange(caughtUp, part),
      draining: perChange(drained, part),
      memory,
    });
}

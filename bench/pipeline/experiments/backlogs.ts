import { chosenContenders, entryOf, type Experiment, RATE, RATE_CHART, shareOf } from '../experiment.js';
import { catchUp, skewed } from '../measure.js';
import { peakMemory } from '../processor-time.js';

export const SKEW: Experiment = {
  workloads: ['skew'],
  setting: 'plain',
  tables: [
    {
      name: 'skew',
      title: 'A few keys take most changes',
      description:
        'Catching up with rows and ten times as many changes of them, 90 % of which go to 1 % of the keys. Written beforehand in transactions of 1,000.',
      columns: [RATE],
      chart: RATE_CHART,
    },
  ],
  entries: (options) =>
    chosenContenders(options).map((contender) =>
      entryOf(contender, async (pipeline, stand, results) => {
        const { rate } = await skewed(pipeline, stand.servers, shareOf(contender, options.sizes.changes));
        results.add('skew', contender.title, { rate });
      }),
    ),
};

export const BACKLOG: Experiment = {
  workloads: ['backlog'],
  setting: 'plain',
  tables: [
    {
      name: 'backlog',
      title: 'Catching up with a large backlog',
      description: 'As above, with ten times as many changes. Memory is the peak of the largest process.',
      columns: [RATE, { heading: 'peak MB', figure: 'memory', digits: 0 }],
      chart: RATE_CHART,
    },
  ],
  entries: (options) =>
    chosenContenders(options)
      .filter(({ share }) => share === 1)
      .map((contender) =>
        entryOf(contender, async (pipeline, stand, results) => {
          const { rate } = await catchUp(pipeline, stand.servers, 10 * options.sizes.changes);
          const memory = peakMemory(pipeline).map(([, megabytes]) => megabytes);
          results.add('backlog', contender.title, { rate, ...(memory.length > 0 && { memory: Math.max(...memory) }) });
        }),
      ),
};

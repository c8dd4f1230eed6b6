import { chosenContenders, entryOf, type Experiment, shareOf } from '../experiment.js';
import { catchUp } from '../measure.js';

/** Counts bytes, with proxies between the pipelines and the servers. They take CPU time, so rates are not measured here. */
export const WIRE: Experiment = {
  workloads: ['wire'],
  setting: 'proxied',
  tables: [
    {
      name: 'wire',
      title: 'Bytes on the wires',
      description: 'Bytes per change while catching up, to and from each server, without those of the writer and the reader.',
      columns: ['DB1', 'Kafka', 'DB2'].flatMap((server) =>
        ['from', 'to'].map((direction) => ({ heading: `${direction} ${server}`, figure: `${direction} ${server}`, digits: 0 })),
      ),
    },
  ],
  entries: (options) =>
    chosenContenders(options).map((contender) =>
      entryOf(contender, async (pipeline, { servers, bytes }, results) => {
        const changes = shareOf(contender, options.sizes.changes);
        const before = bytes();
        await catchUp(pipeline, servers, changes);
        const figures = Object.entries(bytes()).map(([wire, count]) => [wire, (count - before[wire]!) / changes]);
        results.add('wire', contender.title, Object.fromEntries(figures) as Record<string, number>);
      }),
    ),
};

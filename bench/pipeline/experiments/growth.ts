import { service, TWO_PROCESSES } from '../contenders/all.js';
import { nativeReplication } from '../contenders/native.js';
import { type Entry, entryOf, type Experiment, RATE, RATE_CHART } from '../experiment.js';
import { catchUp, drain, spacedChanges } from '../measure.js';
import type { Contender } from '../pipeline.js';
import type { Column } from '../results.js';

/** Returns a row that catches up and drains a number of changes. */
function growth(table: string, contender: Contender, changes: number): Entry {
  return entryOf(contender, async (pipeline, { servers }, results) => {
    const caughtUp = await catchUp(pipeline, servers, changes);
    const drained = await drain(pipeline, servers, changes);
    results.add(table, contender.title, { 'catching up': caughtUp.rate, draining: drained.rate });
  });
}

const GROWTH_COLUMNS: readonly Column[] = [
  { heading: 'catching up/s', figure: 'catching up', digits: 0 },
  { heading: 'draining/s', figure: 'draining', digits: 0 },
];
const GROWTH_CHART = { unit: 'changes/s when catching up', figures: [['catching up', 'changes/s']] } as const;

export const PARTITIONS: Experiment = {
  workloads: ['partitions'],
  setting: 'plain',
  tables: [
    {
      name: 'partitions',
      title: 'Partitions',
      description: '`api,sync` and `replica` as two processes.',
      columns: GROWTH_COLUMNS,
      chart: GROWTH_CHART,
    },
  ],
  entries: ({ sizes }) =>
    [1, 2, 4, 8].map((number) => {
      const title = `${number} partition${number === 1 ? '' : 's'}`;
      const settings = { KAFKA_PARTITIONS: String(number) };
      return growth('partitions', service(title, title, { ...TWO_PROCESSES, settings }), sizes.changes);
    }),
};

export const REPLICAS: Experiment = {
  workloads: ['replicas'],
  setting: 'plain',
  tables: [
    {
      name: 'replicas',
      title: 'Replicas',
      description: '`api,sync` and one or more processes of `replica`, 8 partitions.',
      columns: GROWTH_COLUMNS,
      chart: GROWTH_CHART,
    },
  ],
  entries: ({ sizes }) =>
    [1, 2, 4].map((number) => {
      const title = `${number} replica${number === 1 ? '' : 's'}`;
      const roles = ['api,sync', ...Array.from({ length: number }, () => 'replica')];
      return growth('replicas', service(title, title, { ...TWO_PROCESSES, roles, settings: { KAFKA_PARTITIONS: '8' } }), sizes.changes);
    }),
};

export const ROWS: Experiment = {
  workloads: ['rows'],
  setting: 'plain',
  tables: [
    {
      name: 'rows',
      title: 'Number of rows',
      description: 'Draining changes of a table with more and more rows, then spaced changes.',
      columns: [RATE, { heading: 'p50 ms', figure: 'p50', digits: 1 }, { heading: 'p99 ms', figure: 'p99', digits: 1 }],
      chart: RATE_CHART,
    },
  ],
  entries: ({ sizes }) =>
    sizes.rows.flatMap((rows) =>
      [nativeReplication(), service('wal-2', 'this service', TWO_PROCESSES)].map((contender) => {
        const row = `${rows.toLocaleString('en')} rows, ${contender.title}`;
        return entryOf(
          contender,
          async (pipeline, { servers }, results) => {
            await pipeline.fill!(rows);
            await pipeline.start();
            // The first change arrives when the pipeline has read past all that filling wrote.
            await drain(pipeline, servers, 1, 'pending');
            const { rate } = await drain(pipeline, servers, Math.min(rows, sizes.changes));
            results.add('rows', row, { rate, ...(await spacedChanges(pipeline, rows, sizes.spacedChanges)) });
          },
          row,
        );
      }),
    ),
};

export const ROW_SIZE: Experiment = {
  workloads: ['row-size'],
  setting: 'plain',
  tables: [
    {
      name: 'row-size',
      title: 'Size of a row',
      description: 'Catching up and draining changes of rows whose `metadata` has a text of this size, which does not compress.',
      columns: GROWTH_COLUMNS,
      chart: GROWTH_CHART,
    },
  ],
  entries: ({ sizes }) =>
    [300, 2_000, 20_000].flatMap((rowBytes) => {
      const title = (contender: string): string => `${rowBytes / 1_000} KB, ${contender}`;
      const native = nativeReplication(rowBytes);
      return [{ ...native, title: title(native.title) }, service('wal-2', title('this service'), { ...TWO_PROCESSES, rowBytes })].map(
        (contender) => growth('row-size', contender, Math.min(sizes.changes, sizes.bytes / rowBytes)),
      );
    }),
};

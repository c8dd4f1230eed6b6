import type { Pool } from 'pg';
import { service } from '../contenders/all.js';
import { type Entry, entryOf, type Experiment } from '../experiment.js';
import { catchUp, drain, spacedChanges } from '../measure.js';
import type { Options } from '../options.js';
import { peakMemory } from '../processor-time.js';

const TITLES = { plain: 'without TLS', tls: 'with TLS' };
/** The servers offer TLS, which is used by default. */
const NO_TLS = { DB1_SSLMODE: 'disable', DB2_SSLMODE: 'disable' };

/**
 * Compares the service with TLS to both databases and Kafka with the same without: one process, `wal`. The writer and the reader of the benchmark never
 * use TLS.
 */
export const TLS: Experiment = {
  workloads: ['tls'],
  setting: 'tls',
  tables: [
    {
      name: 'tls',
      title: 'TLS',
      description: 'One process, `wal`, with TLS to both databases (`sslmode=verify-full`) and Kafka, and without.',
      columns: [
        { heading: 'catching up/s', figure: 'catchUp', digits: 0 },
        { heading: 'draining/s', figure: 'drain', digits: 0 },
        { heading: 'p50 ms', figure: 'p50', digits: 1 },
        { heading: 'p99 ms', figure: 'p99', digits: 1 },
        { heading: 'CPU µs/change', figure: 'cpu', digits: 0 },
        { heading: 'peak MB', figure: 'memory', digits: 0 },
      ],
    },
  ],
  entries: (options) => [tlsEntry('plain', options), tlsEntry('tls', options)],
};

function tlsEntry(kind: 'plain' | 'tls', { sizes: { changes, spacedChanges: singles } }: Options): Entry {
  const row = TITLES[kind];
  return {
    row,
    measure: (database, stand, results) => {
      const settings = kind === 'tls' ? stand.tls : NO_TLS;
      const contender = service(kind, row, { capture: 'wal', roles: ['api,sync,replica'], settings });
      const entry = entryOf(contender, async (pipeline, { servers }) => {
        const [caughtUp, drained] = [await catchUp(pipeline, servers, changes), await drain(pipeline, servers, changes)];
        const latencies = await spacedChanges(pipeline, changes, singles);
        const [[part, memory]] = peakMemory(pipeline) as [[string, number]];
        const cpu = (caughtUp.processorTime.get(part)! + drained.processorTime.get(part)!) * (1_000 / (2 * changes));
        for (const db of [pipeline.db1, pipeline.db2]) await checkSessions(db, kind === 'tls');
        results.add('tls', row, { catchUp: caughtUp.rate, drain: drained.rate, ...latencies, cpu, memory });
      });
      return entry.measure(database, stand, results);
    },
  };
}

/** @throws Error when sessions of the service are not as they should be measured. */
async function checkSessions(database: Pool, usesTls: boolean): Promise<void> {
  const { rows } = await database.query<{ ssl: boolean }>(
    `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'subscription-sync%' AND datname = current_database()`,
  );
  if (rows.length === 0 || rows.some(({ ssl }) => ssl !== usesTls))
    throw new Error(`Sessions of the service ${usesTls ? 'lack' : 'use'} TLS`);
}

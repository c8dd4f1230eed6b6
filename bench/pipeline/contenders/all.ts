import { debezium } from './debezium.js';
import { nativeReplication } from './native.js';
import type { Contender } from '../pipeline.js';
import { ServicePipeline } from '../service-pipeline.js';
import { tutorial } from './tutorial.js';

/** Roles of the service's processes, by their number. */
const PROCESSES: Readonly<Record<number, readonly string[]>> = {
  1: ['api,sync,replica'],
  2: ['api,sync', 'replica'],
  3: ['api', 'sync', 'replica'],
};
const NUMBERS = ['', 'one process', 'two processes', 'three processes'];

export interface ServiceOptions {
  readonly capture: 'wal' | 'poll';
  readonly roles: readonly string[];
  readonly settings?: Record<string, string>;
  readonly rowBytes?: number;
}

/** Describes the service in one configuration as a contender. */
export function service(name: string, title: string, { capture, roles, settings = {}, rowBytes = 0 }: ServiceOptions): Contender {
  return {
    name,
    title,
    share: 1,
    prepare: (database, { servers, wires: [db1, db2, kafka] }) =>
      ServicePipeline.prepare(
        database,
        roles,
        capture,
        servers,
        { DB1_PORT: String(db1.port), DB2_PORT: String(db2.port), KAFKA_SERVER: kafka.server, LOG_LEVEL: 'error', ...settings },
        'inherit',
        rowBytes,
      ),
  };
}

function ours(capture: 'wal' | 'poll', processes: 1 | 2 | 3): Contender {
  const title = `this service, ${capture}, ${NUMBERS[processes]!}`;
  return service(`${capture}-${processes}`, title, { capture, roles: PROCESSES[processes]! });
}

/** The service as it is measured where configurations of it are compared: `api,sync` and `replica`. */
export const TWO_PROCESSES: ServiceOptions = { capture: 'wal', roles: PROCESSES[2]! };

/** All contenders, in the order in which they are measured in the first round. */
export const CONTENDERS: readonly Contender[] = [
  nativeReplication(),
  ours('wal', 1),
  ours('wal', 2),
  ours('wal', 3),
  ours('poll', 1),
  ours('poll', 2),
  ours('poll', 3),
  debezium,
  tutorial,
];

/** Names of the contenders of a quick run. */
export const QUICK = ['native', 'wal-1', 'wal-2', 'poll-1', 'debezium', 'tutorial'];

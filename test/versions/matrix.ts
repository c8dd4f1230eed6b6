/** Packages of PostgreSQL on npm, by major version. A new minor version is one line here. */
export const POSTGRES = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
} as const;
/** Versions of Kafka on Maven Central: the last 3, the first 4, and the newest. */
export const KAFKA = { '3.9': '3.9.2', '4.0': '4.0.2', '4.4': '4.4.0' } as const;
/** Packages of Node on npm: the oldest that the service supports, and the newest of each line. */
export const NODE = { 20: '20.19.0', 22: '22.23.5', 24: '24.22.3' } as const;

/** Servers and Node with which spec files run. What is not named is as in `npm test`. */
export interface Combination {
  readonly name: string;
  readonly db1?: keyof typeof POSTGRES;
  readonly db2?: keyof typeof POSTGRES;
  readonly kafka?: keyof typeof KAFKA;
  readonly node?: keyof typeof NODE;
  readonly specs: readonly string[];
}

/** Specs of what differs between versions of PostgreSQL: the catalogs, generated columns, slots, privileges, plans, and texts of values. */
const POSTGRES_SPECS = [
  'libs/postgres/src/isolate-refused.spec.ts',
  'libs/replica/src/apply-guard.spec.ts',
  'libs/schema/src/fit.spec.ts',
  'libs/sync/src/wal-capture.spec.ts',
  'test/api/attached-table.spec.ts',
  'test/connecting/doctor.spec.ts',
  'test/faults/invalidated-slot.spec.ts',
  'test/pipeline/capture-switch.spec.ts',
  'test/pipeline/change-log/partitions.spec.ts',
  'test/pipeline/change-log/what-is-logged.spec.ts',
  'test/pipeline/existing-rows/attach-db1.spec.ts',
  'test/pipeline/existing-rows/attach-db2.spec.ts',
  'test/pipeline/existing-rows/column-types.spec.ts',
  'test/pipeline/existing-rows/converted-types.spec.ts',
  'test/pipeline/existing-rows/risky-tables.spec.ts',
  'test/pipeline/pipeline.spec.ts',
  'test/pipeline/purge.spec.ts',
  'test/pipeline/reconciliation/differences.spec.ts',
  'test/pipeline/session-settings.spec.ts',
  'test/pipeline/upgrade.spec.ts',
];

/** Specs of a change's path from one version to another: values, comparisons, existing tables, the upgrade. */
const MIXED_SPECS = [
  'test/pipeline/capture-switch.spec.ts',
  'test/pipeline/existing-rows/attach-db2.spec.ts',
  'test/pipeline/existing-rows/column-types.spec.ts',
  'test/pipeline/existing-rows/converted-types.spec.ts',
  'test/pipeline/pipeline.spec.ts',
  'test/pipeline/reconciliation/differences.spec.ts',
  'test/pipeline/upgrade.spec.ts',
];

/** Specs of what the service asks of brokers: producing, groups, topics and their settings, TLS, SASL and ACLs. */
const KAFKA_SPECS = [
  'test/faults/hanging-kafka.spec.ts',
  'test/faults/kafka-away.spec.ts',
  'test/faults/lost-records.spec.ts',
  'test/faults/reassigned-partitions.spec.ts',
  'test/pipeline/dead-letters.spec.ts',
  'test/pipeline/kafka-security.spec.ts',
  'test/pipeline/offsets.spec.ts',
  'test/pipeline/pipeline.spec.ts',
  'test/pipeline/poison-records.spec.ts',
  'test/pipeline/topic.spec.ts',
  'test/pipeline/unpublishable.spec.ts',
];

/** Specs of what is Node's: HTTP, sockets, TLS, streams, processes and signals, timers. */
const NODE_SPECS = [
  'libs/kafka/src/response-framing.spec.ts',
  'libs/kafka/src/unresponsive-timeout.spec.ts',
  'libs/postgres/src/client.spec.ts',
  'libs/postgres/src/tls-connection.spec.ts',
  'test/api/bad-input.spec.ts',
  'test/api/change-feed/event-stream.spec.ts',
  'test/api/client-requests.spec.ts',
  'test/api/crud.spec.ts',
  'test/api/import-export/export.spec.ts',
  'test/api/import-export/file-formats.spec.ts',
  'test/connecting/postgres-tls.spec.ts',
  'test/pipeline/kafka-security.spec.ts',
  'test/pipeline/pipeline.spec.ts',
  'test/process/log.spec.ts',
  'test/process/requests.spec.ts',
  'test/process/server-process.spec.ts',
  'test/process/start-up.spec.ts',
  'test/standalone/life.spec.ts',
];

/** Specs of the short run in CI: writes by the API and by SQL through both captures, and values of every type. */
const SHORT_SPECS = ['test/pipeline/existing-rows/column-types.spec.ts', 'test/pipeline/pipeline.spec.ts'];

export const COMBINATIONS: readonly Combination[] = [
  ...([14, 15, 16, 17, 18] as const).map((version) => ({
    name: `postgres-${version}`,
    db1: version,
    db2: version,
    specs: POSTGRES_SPECS,
  })),
  { name: 'postgres-14-to-18', db1: 14, db2: 18, specs: MIXED_SPECS },
  { name: 'postgres-18-to-14', db1: 18, db2: 14, specs: MIXED_SPECS },
  ...(['3.9', '4.0', '4.4'] as const).map((version) => ({ name: `kafka-${version}`, kafka: version, specs: KAFKA_SPECS })),
  ...([20, 22, 24] as const).map((version) => ({ name: `node-${version}`, node: version, specs: NODE_SPECS })),
];

export const SHORT: Combination = { name: 'short', db1: 14, db2: 18, specs: SHORT_SPECS };

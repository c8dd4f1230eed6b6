import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pool } from 'pg';
import type { BrokerSecurity } from '../../apps/standalone/src/kafka.js';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { CertificateAuthority } from '../../test/harness/certificates.js';
import { offerTls } from '../../test/harness/tls-server.js';
import { type Servers, withServers } from '../servers.js';
import { ServicePipeline } from './service-pipeline.js';
import { CHANGES, type Figures, measure, percentile } from './workload.js';

/** Number of runs without and with TLS each. An odd number, so that a median is a measurement. */
const ROUNDS = 3;

type Row = Figures & {
  /** CPU time (µs) of the service per change. */
  readonly cpu: number;
  /** Peak resident memory (MB). */
  readonly memory: number;
};

/** Columns of the table, with the number of digits after the point. */
const COLUMNS: readonly (readonly [heading: string, figure: keyof Row, digits: number])[] = [
  ['catch-up/s', 'catchUp', 0],
  ['live/s', 'live', 0],
  ['written/s', 'written', 0],
  ['p50 ms', 'delayP50', 1],
  ['p99 ms', 'delayP99', 1],
  ['CPU µs/change', 'cpu', 0],
  ['peak MB', 'memory', 0],
];

/**
 * Measures the service with TLS to both databases and Kafka beside the same without, on the same servers: one process, `wal`, in alternating order. The
 * writer and the reader of the benchmark never use TLS.
 */
export async function compareTls(): Promise<void> {
  const authority = new CertificateAuthority('bench');
  const listener = { port: await pickFreePort(), protocol: 'SSL' };
  await withServers(
    '512MB',
    async (servers, folder) => {
      const [part1, part2] = servers;
      for (const part of [part1, part2]) await offerTls(part, authority.issue(['localhost']), authority.certificate);
      const settings = tlsSettings(join(folder, 'ca.pem'), listener.port);
      console.log(`${CHANGES} single-row changes in 1,000-row transactions, then 300 spaced ones; everything on this machine\n`);
      console.log(`round${' '.repeat(9)}${COLUMNS.map(([heading]) => heading.padStart(15)).join('')}`);
      const rows = { plain: [] as Row[], tls: [] as Row[] };
      for (let round = 1; round <= ROUNDS; round += 1) {
        for (const kind of round % 2 === 1 ? (['plain', 'tls'] as const) : (['tls', 'plain'] as const)) {
          const row = await run(`${kind}_${round}`, servers, kind === 'tls' ? settings : NO_TLS);
          rows[kind].push(row);
          print(`${round} ${kind}`, row);
        }
      }
      const [plain, tls] = [median(rows.plain), median(rows.tls)];
      print('median plain', plain);
      print('median tls', tls);
      console.log(`ratio${' '.repeat(9)}${COLUMNS.map(([, figure]) => (tls[figure] / plain[figure]).toFixed(2).padStart(15)).join('')}`);
    },
    (folder) => Promise.resolve(tlsListener(folder, authority, listener)),
  );
}

/** Returns a listener of Kafka with TLS, and writes the certificate of the CA to `ca.pem`. */
function tlsListener(folder: string, authority: CertificateAuthority, listener: { port: number; protocol: string }): BrokerSecurity {
  const { certificate, key } = authority.issue(['localhost']);
  const store = join(folder, 'broker.pem');
  writeFileSync(store, `${key}${certificate}`, { mode: 0o600 });
  writeFileSync(join(folder, 'ca.pem'), authority.certificate);
  return { listeners: { TLS: listener }, properties: { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': store }, scramUsers: [] };
}

/** The servers offer TLS, which is used by default. */
const NO_TLS = { DB1_SSLMODE: 'disable', DB2_SSLMODE: 'disable' };

function tlsSettings(authorityFile: string, kafkaPort: number): Record<string, string> {
  const database = (prefix: string): Record<string, string> => ({
    [`${prefix}_HOST`]: 'localhost',
    [`${prefix}_SSLMODE`]: 'verify-full',
    [`${prefix}_SSLROOTCERT`]: authorityFile,
  });
  return {
    ...database('DB1'),
    ...database('DB2'),
    KAFKA_SERVER: `localhost:${kafkaPort}`,
    KAFKA_SECURITY_PROTOCOL: 'SSL',
    KAFKA_SSL_CA: authorityFile,
  };
}

async function run(name: string, servers: Servers, settings: Record<string, string>): Promise<Row> {
  const pipeline = await ServicePipeline.prepare(name, ['api,sync,replica'], 'wal', servers, settings);
  try {
    const figures = await measure(pipeline);
    const { cpu, memory } = pipeline.usage();
    for (const database of [pipeline.db1, pipeline.db2]) await checkSessions(database, settings !== NO_TLS);
    return { ...figures, cpu: (cpu / (2 * CHANGES)) * 1e6, memory: memory[0]! };
  } finally {
    await pipeline.close();
  }
}

/** @throws Error when sessions of the service are not as they should be measured. */
async function checkSessions(database: Pool, usesTls: boolean): Promise<void> {
  const { rows } = await database.query<{ ssl: boolean }>(
    `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'subscription-sync%' AND datname = current_database()`,
  );
  if (rows.length === 0 || rows.some(({ ssl }) => ssl !== usesTls))
    throw new Error(`Sessions of the service ${usesTls ? 'lack' : 'use'} TLS`);
}

function median(rows: readonly Row[]): Row {
  const figures = COLUMNS.map(([, figure]) => [
    figure,
    percentile(
      rows.map((row) => row[figure]),
      0.5,
    ),
  ]);
  return Object.fromEntries(figures) as Row;
}

function print(name: string, row: Row): void {
  console.log(`${name.padEnd(14)}${COLUMNS.map(([, figure, digits]) => row[figure].toFixed(digits).padStart(15)).join('')}`);
}

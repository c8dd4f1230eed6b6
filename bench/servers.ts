import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrokerSecurity, type EmbeddedKafka, type ProxyListener, startKafka } from '../apps/standalone/src/kafka.js';
import { type EmbeddedPostgres, startPostgres } from '../apps/standalone/src/postgres.js';

export type Servers = readonly [db1: EmbeddedPostgres, db2: EmbeddedPostgres, kafka: EmbeddedKafka];

/**
 * Runs `bench` with two PostgreSQL servers and a Kafka of its own, in a new folder. An error is printed and makes the exit code 1. `security` returns
 * further listeners of Kafka, whose files it writes to the folder. `proxyListener` is that of a proxy to Kafka.
 */
export async function withServers(
  sharedBuffers: string,
  bench: (servers: Servers, folder: string) => Promise<void>,
  security?: (folder: string) => Promise<BrokerSecurity>,
  proxyListener?: ProxyListener,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-bench-'));
  // PostgreSQL may run as another user, who must be able to enter the folder.
  chmodSync(folder, 0o755);
  const flags = [`shared_buffers=${sharedBuffers}`, 'max_wal_size=4GB'].flatMap((flag) => ['-c', flag]);
  const database = (name: string): Promise<EmbeddedPostgres> =>
    startPostgres({ name, dataDir: join(folder, name), port: 0, database: 'postgres', flags });
  const kafka = { dataDir: join(folder, 'kafka'), port: 0, security: await security?.(folder), proxyListener };
  const servers = await Promise.all([database('DB1'), database('DB2'), startKafka(kafka)]);
  try {
    await bench(servers, folder);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

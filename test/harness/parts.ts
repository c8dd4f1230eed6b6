import { mkdtempSync, chmodSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka, startPostgres, type KafkaPart, type PostgresPart } from '../../apps/standalone/src/index.js';
import type { Address, PartAddresses } from './addresses.js';

/** Many databases, many connections, and nothing to survive a power cut for. */
const TEST_FLAGS = ['max_connections=400', 'fsync=off', 'full_page_writes=off', 'shared_buffers=256MB', 'max_wal_size=2GB'].flatMap(
  (flag) => ['-c', flag],
);

/** Real PostgreSQL twice and a real Kafka, on free ports, in a folder of their own: the same that `npm start` brings up. */
export class Parts {
  private constructor(
    private readonly folder: string,
    private db1: PostgresPart,
    private db2: PostgresPart,
    private kafka: KafkaPart,
  ) {}

  static async start(): Promise<Parts> {
    const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-'));
    // PostgreSQL may run as another user.
    chmodSync(folder, 0o755);
    const [db1, db2, kafka] = await Promise.all([
      startDatabase(folder, 'DB1', 0),
      startDatabase(folder, 'DB2', 0),
      startKafka({ dataDir: join(folder, 'kafka'), port: 0 }),
    ]);
    return new Parts(folder, db1, db2, kafka);
  }

  get addresses(): PartAddresses {
    return { db1: addressOf(this.db1), db2: addressOf(this.db2), kafka: this.kafka.server };
  }

  /** Ends a part; `start` brings it back on the same port with its data. */
  async stop(part: 'db1' | 'db2' | 'kafka'): Promise<void> {
    await this[part].stop();
  }

  /** As a machine does that hangs: connections stay, nothing answers. */
  pause(part: 'kafka'): void {
    process.kill(this[part].pid, 'SIGSTOP');
  }

  resume(part: 'kafka'): void {
    process.kill(this[part].pid, 'SIGCONT');
  }

  async restart(part: 'db1' | 'db2' | 'kafka'): Promise<void> {
    if (part === 'kafka') this.kafka = await startKafka({ dataDir: join(this.folder, 'kafka'), port: this.kafka.port });
    else if (part === 'db1') this.db1 = await startDatabase(this.folder, 'DB1', this.db1.port);
    else this.db2 = await startDatabase(this.folder, 'DB2', this.db2.port);
  }

  async close(): Promise<void> {
    await Promise.all([this.kafka.stop(), this.db1.stop(), this.db2.stop()]);
    await rm(this.folder, { recursive: true, force: true });
  }
}

function startDatabase(folder: string, name: 'DB1' | 'DB2', port: number): Promise<PostgresPart> {
  return startPostgres({ name, dataDir: join(folder, name), port, database: name.toLowerCase(), flags: TEST_FLAGS });
}

function addressOf({ host, port, user, password }: PostgresPart): Address {
  return { host, port, user, password };
}

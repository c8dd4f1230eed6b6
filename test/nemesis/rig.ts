import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { runOn } from '../harness/addresses.js';
import { type PartName, Parts } from '../harness/parts.js';
import { TcpProxy } from '../harness/tcp-proxy.js';

const HOST = '127.0.0.1';
/** Size of the small disk: room for a database and some thousand rows. */
const SMALL_DISK = '40m';
const TABLESPACE = 'small_disk';

/** A worker's own databases and Kafka, each behind a proxy that the service must use. Serves one seed after another. */
export class Rig {
  private constructor(
    readonly parts: Parts,
    readonly proxies: Readonly<Record<PartName, TcpProxy>>,
    /** A separate disk for DB2's tables, or the reason why there is none. */
    readonly disk: SmallDisk | string,
  ) {}

  static async start(): Promise<Rig> {
    const behind = await pickFreePort();
    const kafka = await TcpProxy.to({ host: HOST, port: behind });
    const parts = await Parts.start(undefined, { port: behind, advertisedPort: kafka.port });
    const { db1, db2 } = parts.addresses;
    const disk = SmallDisk.mount();
    if (typeof disk !== 'string') await runOn(db2, `CREATE TABLESPACE ${TABLESPACE} LOCATION '${disk.folder}/tables'`);
    return new Rig(parts, { db1: await TcpProxy.to(db1), db2: await TcpProxy.to(db2), kafka }, disk);
  }

  /** Environment with which a process of the service uses the proxies. */
  get environment(): Record<string, string> {
    const { db1, db2, kafka } = this.proxies;
    return { DB1_PORT: String(db1.port), DB2_PORT: String(db2.port), KAFKA_SERVER: `${HOST}:${kafka.port}` };
  }

  /** Moves a database of DB2 to the small disk. No session may be connected to it. */
  async moveToSmallDisk(database: string): Promise<void> {
    await runOn(this.parts.addresses.db2, `ALTER DATABASE ${database} SET TABLESPACE ${TABLESPACE}`);
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.proxies).map((proxy) => proxy.close()));
    for (const part of ['db1', 'db2', 'kafka'] as const) this.parts.resume(part);
    await this.parts.close();
    if (typeof this.disk !== 'string') this.disk.unmount();
  }
}

/** A small file system that can be filled to the last byte. */
class SmallDisk {
  private constructor(readonly folder: string) {}

  /** Mounts the file system. @returns the disk, or the reason why it can't be mounted. */
  static mount(): SmallDisk | string {
    const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-disk-'));
    const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', folder]);
    if (status !== 0) {
      rmSync(folder, { recursive: true });
      return `a tmpfs can't be mounted here (${error?.message ?? stderr.toString().trim()})`;
    }
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, 'tables'));
    spawnSync('chown', ['postgres', join(folder, 'tables')]);
    const disk = new SmallDisk(folder);
    process.once('exit', () => disk.unmount());
    return disk;
  }

  fill(): void {
    const file = openSync(this.ballast, 'w');
    try {
      for (const size of [64 * 1024, 4 * 1024]) writeUntilFull(file, Buffer.alloc(size));
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.ballast, { force: true });
  }

  unmount(): void {
    // Lazily, because PostgreSQL may still have files open when the process exits early.
    spawnSync('umount', ['--lazy', this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get ballast(): string {
    return join(this.folder, 'ballast');
  }
}

function writeUntilFull(file: number, chunk: Buffer): void {
  try {
    while (writeSync(file, chunk) === chunk.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

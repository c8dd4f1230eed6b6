import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readEnvironment } from '#config';
import { runCommand } from '../../apps/standalone/src/child-process.js';
import { type ProxyListener, type EmbeddedKafka, startKafka } from '../../apps/standalone/src/kafka.js';
import { type EmbeddedPostgres, startPostgres } from '../../apps/standalone/src/postgres.js';
import { type Address, makeTemplates, type PartAddresses, sharedParts } from './addresses.js';
import { prepareKafka } from './prepared-kafka.js';
import { temporaryFolder } from './temporary-folder.js';
import { copyOnline, isStreaming, promote } from './standby.js';
import { kafkaVersion, postgresPrograms } from './tested-versions.js';

/**
 * Settings for many databases and connections whose data need not survive a power cut. The short deadlock timeout saves conflicting
 * writers the second after which PostgreSQL checks for deadlocks by default.
 */
const TEST_FLAGS = [
  'deadlock_timeout=20ms',
  'max_connections=400',
  'fsync=off',
  'full_page_writes=off',
  'shared_buffers=256MB',
  'max_wal_size=2GB',
  // Little recycled WAL, because the data folders are copied.
  'min_wal_size=32MB',
  // Otherwise a process is started for one of the databases every few seconds.
  'autovacuum_naptime=10min',
].flatMap((flag) => ['-c', flag]);

/** Environment variable with the folder of the databases and Kafka's empty log that {@link Parts.start} copies. */
const PRISTINE_VARIABLE = 'SUBSCRIPTION_SYNC_TEST_PRISTINE';

export type PartName = 'db1' | 'db2' | 'kafka';

/** Real PostgreSQL servers and a real Kafka, on free ports, in their own folder: the same as `npm start` starts. */
export class Parts {
  private standby: EmbeddedPostgres | undefined;

  private constructor(
    private readonly folder: string,
    private readonly own: { db1?: EmbeddedPostgres; db2?: EmbeddedPostgres; kafka?: EmbeddedKafka },
    private readonly proxyListener: ProxyListener | undefined,
  ) {}

  /**
   * Starts the parts in `names`, the databases with the templates of the worlds. The others are those that all tests share.
   * `proxyListener`: a second listener of Kafka, for a proxy.
   */
  static async start(names: readonly PartName[] = ['db1', 'db2', 'kafka'], proxyListener?: ProxyListener): Promise<Parts> {
    const parts = new Parts(temporaryFolder('subscription-sync-'), {}, proxyListener);
    const pristine = readEnvironment()[PRISTINE_VARIABLE];
    if (pristine === undefined) await makePristine(parts.folder);
    await Promise.all(
      names.map(async (name) => {
        if (pristine !== undefined) await parts.copyFrom(pristine, name);
        await parts.run(name, 0);
      }),
    );
    return parts;
  }

  /**
   * Creates databases with their templates and Kafka's empty log once, which every later `start` of this process and its children
   * copies: `initdb` and the migrations take 3 s of processor time. @returns the folder, which the caller removes.
   */
  static async makePristine(): Promise<string> {
    const folder = temporaryFolder('subscription-sync-');
    const [log] = await Promise.all([prepareKafka(), makePristine(folder)]);
    await copyData(log, join(folder, 'log'));
    process.env[PRISTINE_VARIABLE] = folder;
    return folder;
  }

  get addresses(): PartAddresses {
    const { db1, db2, kafka } = this.own;
    if (db1 && db2 && kafka) return { db1: addressOf(db1), db2: addressOf(db2), kafka: kafka.server };
    const shared = sharedParts();
    return {
      db1: db1 ? addressOf(db1) : shared.db1,
      db2: db2 ? addressOf(db2) : shared.db2,
      kafka: kafka?.server ?? shared.kafka,
    };
  }

  /** Stops a part; `start` starts it again on the same port with its data. */
  async stop(part: PartName): Promise<void> {
    await this.owned(part).stop();
  }

  /** Kills all processes of a part at once, as in a power cut, except that the disk cache is kept. */
  async kill(part: PartName): Promise<void> {
    this.signal(part, 'SIGKILL');
    await this.owned(part).exited;
  }

  /** Suspends a part, as on a machine that hangs. */
  pause(part: PartName): void {
    this.signal(part, 'SIGSTOP');
  }

  resume(part: PartName): void {
    this.signal(part, 'SIGCONT');
  }

  /** Signals all processes of a part. PostgreSQL's main process comes first, or it would handle the end of its connections' processes. */
  private signal(part: PartName, signal: NodeJS.Signals): void {
    const { pid } = this.owned(part);
    const children = childrenOf(pid);
    send(pid, signal);
    // The second list has the children that it started in between.
    for (const child of new Set([...children, ...childrenOf(pid)])) send(child, signal);
  }

  /** Returns a part's output since its log had the length `since` (bytes). A restart begins a new log. */
  logSince(part: PartName, since = 0): string {
    return readFileSync(this.owned(part).logFile).subarray(since).toString();
  }

  logLength(part: PartName): number {
    return statSync(this.owned(part).logFile).size;
  }

  async restart(part: PartName): Promise<void> {
    await this.run(part, this.owned(part).port);
  }

  /** Adds a streaming standby of DB1, on its own port. */
  async addStandby(): Promise<void> {
    const dataDir = join(this.folder, 'db1-standby');
    await copyOnline(this.addresses.db1, this.dataOf('db1'), dataDir);
    const programs = postgresPrograms('DB1');
    this.standby = await startPostgres({ name: 'standby', dataDir, port: 0, database: 'postgres', flags: TEST_FLAGS, programs });
  }

  /** Stops replication to the standby, as when its network fails: transactions committed from now on will be lost. */
  async cutOffStandby(): Promise<void> {
    await this.standby!.stop();
  }

  /** Kills DB1 and promotes the standby, as far as it has replicated, on DB1's port. */
  async failOver(): Promise<void> {
    await this.kill('db1');
    await rm(this.dataOf('db1'), { recursive: true });
    await this.standby?.stop();
    await runCommand('mv', [join(this.folder, 'db1-standby'), this.dataOf('db1')]);
    await this.restart('db1');
    await promote(this.addresses.db1);
  }

  /** Promotes the standby after an orderly shutdown of DB1, so that it has all of DB1's data. */
  async switchOver(): Promise<void> {
    await isStreaming(this.addresses.db1);
    await this.stop('db1');
    await this.failOver();
  }

  /** Saves the current state of a database, like a cold backup. */
  async backUp(part: 'db1' | 'db2'): Promise<void> {
    await this.stop(part);
    await rm(this.backupOf(part), { recursive: true, force: true });
    await copyData(this.dataOf(part), this.backupOf(part));
    await this.restart(part);
  }

  /** Restores a database from its backup. */
  async restore(part: 'db1' | 'db2'): Promise<void> {
    await this.stop(part);
    await rm(this.dataOf(part), { recursive: true });
    await copyData(this.backupOf(part), this.dataOf(part));
    await this.restart(part);
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.own).map((part) => part.stop()));
    await rm(this.folder, { recursive: true, force: true });
  }

  private async copyFrom(pristine: string, part: PartName): Promise<void> {
    if (part !== 'kafka') return copyData(join(pristine, part.toUpperCase()), this.dataOf(part));
    mkdirSync(this.kafkaFolder);
    await copyData(join(pristine, 'log'), join(this.kafkaFolder, 'log'));
  }

  private async run(part: PartName, port: number): Promise<void> {
    const kafkaOptions = { dataDir: this.kafkaFolder, version: kafkaVersion(), proxyListener: this.proxyListener };
    if (part === 'kafka') this.own.kafka = await startKafka({ ...kafkaOptions, port });
    else this.own[part] = await startDatabase(this.folder, part === 'db1' ? 'DB1' : 'DB2', port);
  }

  /** @throws Error when the part is one that all tests share: no test may stop it. */
  private owned(part: PartName): EmbeddedPostgres | EmbeddedKafka {
    const owned = this.own[part];
    if (owned === undefined) throw new Error(`${part} is shared by all tests`);
    return owned;
  }

  private dataOf(part: 'db1' | 'db2'): string {
    return join(this.folder, part.toUpperCase());
  }

  private get kafkaFolder(): string {
    return join(this.folder, 'kafka');
  }

  private backupOf(part: 'db1' | 'db2'): string {
    return join(this.folder, `${part}-backup`);
  }
}

/** Creates databases with their templates, and stops them. */
async function makePristine(folder: string): Promise<void> {
  const [db1, db2] = await Promise.all([startDatabase(folder, 'DB1', 0), startDatabase(folder, 'DB2', 0)]);
  await makeTemplates({ db1: addressOf(db1), db2: addressOf(db2) });
  await Promise.all([db1.stop(), db2.stop()]);
}

/** Copies a folder with its owners and times, which PostgreSQL requires. */
async function copyData(from: string, to: string): Promise<void> {
  const { code, lines } = await runCommand('cp', ['-a', from, to]);
  if (code !== 0) throw new Error(`${from} can't be copied: ${lines.join(' ')}`);
}

/** Signals a process; ignores a process that has already ended. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function startDatabase(folder: string, name: 'DB1' | 'DB2', port: number): Promise<EmbeddedPostgres> {
  const dataDir = join(folder, name);
  return startPostgres({ name, dataDir, port, database: name.toLowerCase(), flags: TEST_FLAGS, programs: postgresPrograms(name) });
}

function addressOf({ host, port, user, password }: EmbeddedPostgres): Address {
  return { host, port, user, password };
}

/** Returns the living children of a process. Linux only. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number);
}

function parentOf(name: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The command's name, in parentheses, may contain anything. The state and the parent follow.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { readEnvironment } from '#config';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import type { Address } from './addresses.js';
import { eventually } from './eventually.js';
import { temporaryFolder } from './temporary-folder.js';

/** The program, where it is installed. PGBOUNCER names another one than that of the PATH. */
const PROGRAM = readEnvironment()['PGBOUNCER'] ?? 'pgbouncer';

/** Version of the installed PgBouncer; undefined if there is none. No package of npm or Maven has it. */
export const POOLER_VERSION = /^PgBouncer (\d+)\.(\d+)/
  .exec(spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout)
  ?.slice(1)
  .map(Number);

/** Whether a version can keep prepared statements. */
export const CAN_KEEP_PREPARED = POOLER_VERSION !== undefined && (POOLER_VERSION[0]! > 1 || POOLER_VERSION[1]! >= 21);

interface PoolerOptions {
  /** Number of sessions that it lends, for each database and user. */
  readonly sessions?: number;
  readonly keepsPrepared?: boolean;
  /** Startup parameters that it accepts and ignores. */
  readonly ignored?: readonly string[];
  /** Number of clients that may be connected. */
  readonly clients?: number;
  readonly mode?: 'transaction' | 'session';
}

/** PgBouncer in front of a server. It lends the session that was used longest ago, so that a client meets another one with each transaction. */
export class Pooler {
  private constructor(
    readonly address: Address,
    private readonly folder: string,
    private process: ReturnType<typeof spawn>,
  ) {}

  /** `users` are the names and passwords that log in, here and at the server. */
  static async start(server: Address, users: Readonly<Record<string, string>>, options: PoolerOptions = {}): Promise<Pooler> {
    const { sessions = 4, keepsPrepared = false, ignored = [], clients = 200, mode = 'transaction' } = options;
    const folder = temporaryFolder('subscription-sync-pooler-');
    const port = await pickFreePort();
    writeFileSync(
      join(folder, 'users'),
      Object.entries(users)
        .map(([name, password]) => `"${name}" "${password}"\n`)
        .join(''),
    );
    const settings = {
      listen_addr: '127.0.0.1',
      listen_port: port,
      unix_socket_dir: '',
      auth_type: 'plain',
      auth_file: join(folder, 'users'),
      pool_mode: mode,
      default_pool_size: sessions,
      max_client_conn: clients,
      server_round_robin: 1,
      query_wait_timeout: 10,
      ...(ignored.length > 0 && { ignore_startup_parameters: ignored.join(',') }),
      ...(CAN_KEEP_PREPARED && { max_prepared_statements: keepsPrepared ? 100 : 0 }),
      // It refuses to run as root, with or without a reason to.
      ...(process.getuid?.() === 0 && { user: 'nobody' }),
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    writeFileSync(
      join(folder, 'settings.ini'),
      ['[databases]', `* = host=${server.host} port=${server.port}`, '[pgbouncer]', ...lines, ''].join('\n'),
    );
    const pooler = new Pooler({ ...server, host: '127.0.0.1', port }, folder, launch(folder));
    await pooler.waitUntilUp();
    return pooler;
  }

  /** Kills the process, which breaks all connections, and starts it again. */
  async restart(): Promise<void> {
    await this.kill();
    this.process = launch(this.folder);
    await this.waitUntilUp();
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }

  private async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }

  private async waitUntilUp(): Promise<void> {
    await eventually(async () => {
      const client = new Client({ ...this.address, database: 'postgres' });
      try {
        await client.connect();
        return true;
      } finally {
        await client.end();
      }
    });
  }
}

function launch(folder: string): ReturnType<typeof spawn> {
  return spawn(PROGRAM, ['-q', join(folder, 'settings.ini')], { stdio: 'ignore' });
}

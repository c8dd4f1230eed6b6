import { join, resolve } from 'node:path';
import pg from 'pg';
import { GuardedProcess } from './guarded-process.js';
import { initialisePostgres } from './initialise-postgres.js';
import type { Part } from './part.js';
import { stopLeftover } from './pid-file.js';
import { claimPort } from './ports.js';
import { postgresBinaries } from './postgres-binaries.js';
import { postgresUser, requireReachable } from './postgres-user.js';
import { StandaloneError } from './standalone.error.js';
import { waitFor } from './wait-for.js';

export interface PostgresOptions {
  /** Stands in messages, and before the names of the variables that configure it: DB1, DB2. */
  readonly name: string;
  /** Made when missing; its log and pid file stand beside it. */
  readonly dataDir: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
  /** Made when missing. */
  readonly database: string;
  /** More flags for the server, stronger than ours: `['-c', 'fsync=off']`. */
  readonly flags?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface PostgresPart extends Part {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly logFile: string;
}

const HOST = '127.0.0.1';
/** Crash recovery of a big change log takes its time, ms. */
const START_WITHIN_MS = 60_000;
const GRACE_MS = 20_000;
/** Fast shutdown: rolls back what runs, writes a checkpoint. */
const STOP_SIGNAL = 'SIGINT';

/**
 * Starts PostgreSQL with `wal_level=logical` on 127.0.0.1 and resolves when it answers queries in `database`. Acknowledged commits survive any end of it.
 * @throws StandaloneError for a taken port, a refused password, data in use or not ours; nothing runs on then.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresPart> {
  const { name, database, signal, user = 'postgres', password = 'postgres' } = options;
  const dataDir = resolve(options.dataDir);
  const binaries = postgresBinaries();
  const pidFile = `${dataDir}.pid`;
  await stopLeftover({ pidFile, dataDir, stopSignal: STOP_SIGNAL, graceMs: GRACE_MS });
  const port = await claimPort(options.port, name, `${name}_PORT`);
  const runAs = await postgresUser();
  await initialisePostgres({ name, binaries, dataDir, user, password, runAs, signal });
  if (runAs) requireReachable(dataDir, runAs);
  signal?.throwIfAborted();
  const logFile = `${dataDir}.log`;
  const server = new GuardedProcess({
    command: join(binaries, 'postgres'),
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
      withinMs: START_WITHIN_MS,
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

/** Slots and senders are free until used, and every test and every standby takes one. No sockets: a long path would be refused. */
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
  readonly server: GuardedProcess;
  readonly connection: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
}

/** A connection, or undefined while the server isn't there yet. */
async function connect({ name, dataDir, server, connection }: Attempt): Promise<pg.Client | undefined> {
  if (server.ended !== undefined) {
    throw new StandaloneError(
      `${name}: PostgreSQL ${server.ended} at its start on ${dataDir}: ${server.lastWords(/(FATAL|PANIC|postgres: error|error while).*/)}`,
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
      `${name}: the data in ${dataDir} was made with another user or password than "${connection.user}" and the one given: set ${name}_USER and ${name}_PASSWORD to those, or delete that folder to start empty.`,
    );
  }
}

const INVALID_PASSWORD = '28P01';

async function createDatabase(client: pg.Client, database: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
  if (rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
}

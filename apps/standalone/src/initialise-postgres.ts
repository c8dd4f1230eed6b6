import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requireReachable, type SystemUser } from './postgres-user.js';
import { runCommand } from './run-command.js';
import { StandaloneError } from './standalone.error.js';

export interface InitialiseOptions {
  readonly name: string;
  readonly binaries: string;
  readonly dataDir: string;
  readonly user: string;
  readonly password: string;
  readonly runAs: SystemUser | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The built-in provider needs no locale of the machine and no ICU version: the same order everywhere (PostgreSQL 17+). */
const INITDB_FLAGS = [
  '--encoding=UTF8',
  '--locale=C',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  '--auth=scram-sha-256',
  '--no-instructions',
];

/**
 * Makes the cluster if `dataDir` doesn't exist. It appears there complete or not at all, so an interrupted first start leaves nothing half made.
 * @throws StandaloneError when initdb fails or the folder can't be reached by the user it runs as.
 */
export async function initialisePostgres(options: InitialiseOptions): Promise<void> {
  const { dataDir, runAs } = options;
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
      requireReachable(options.binaries, runAs);
    }
    const madeDir = join(workDir, 'data');
    const args = [...INITDB_FLAGS, `--pgdata=${madeDir}`, `--username=${options.user}`, `--pwfile=${passwordFile}`];
    const { code, lines } = await runCommand(join(options.binaries, 'initdb'), args, { user: runAs, signal: options.signal });
    if (code !== 0) {
      const reason =
        lines.findLast((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? 'initdb can\'t be run; "npm rebuild" may repair it';
      throw new StandaloneError(`${options.name}: a PostgreSQL cluster can't be made in ${dataDir}: ${reason}`);
    }
    renameSync(madeDir, dataDir);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { runCommand } from './run-command.js';
import { StandaloneError } from './standalone.error.js';

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whom to run PostgreSQL as: undefined for ourselves, or, since it refuses to run as root, a system user, made when it is missing.
 * @throws StandaloneError when that user can't be made.
 */
export async function postgresUser(name = 'postgres'): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const user = (await findUser(name)) ?? (await makeUser(name));
  if (user) return user;
  throw new StandaloneError(
    `PostgreSQL doesn't run as root, and the system user "${name}" can't be made: run "useradd --system ${name}", or start this as another user.`,
  );
}

/** @throws StandaloneError naming the first folder on the way that keeps the user out. */
export function requireReachable(path: string, user: SystemUser): void {
  const folders = [path];
  while (folders[0] !== undefined && dirname(folders[0]) !== folders[0]) folders.unshift(dirname(folders[0]));
  const closed = folders.find((folder) => spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], user).status !== 0);
  if (closed === undefined) return;
  throw new StandaloneError(
    `PostgreSQL runs as the system user ${user.uid}, because you are root, and that user can't enter ${closed}: run "chmod o+x ${closed}", or start this as another user.`,
  );
}

async function findUser(name: string): Promise<SystemUser | undefined> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => (await runCommand('id', [flag, name])).lines[0]));
  return /^\d+$/.test(uid ?? '') ? { uid: Number(uid), gid: Number(gid) } : undefined;
}

async function makeUser(name: string): Promise<SystemUser | undefined> {
  // Two databases may start at once: the one that comes second finds the user made, so the exit code tells nothing.
  await runCommand('useradd', ['--system', '--user-group', '--no-create-home', name]);
  return findUser(name);
}

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { StandaloneError } from './standalone.error.js';
import { waitFor } from './wait-for.js';

/** Fields of /proc/<pid>/stat behind the command's name: 0 is the state, 19 the start in clock ticks since boot. */
const STATE_FIELD = 0;
const START_FIELD = 19;

/** When the process started, in some stable notation, so that a reused pid is not taken for it. Undefined when it doesn't run (a zombie doesn't). */
function startOf(pid: number): string | undefined {
  try {
    if (!existsSync('/proc/self/stat')) {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[STATE_FIELD] === 'Z' ? undefined : fields[START_FIELD];
  } catch {
    return undefined;
  }
}

/**
 * Records running processes, one a line.
 * @throws an error with code EEXIST when `exclusive` and the file is there.
 */
export function writePidFile(file: string, pids: readonly number[], { exclusive = false } = {}): void {
  writeFileSync(file, pids.map((pid) => `${pid} ${startOf(pid) ?? ''}\n`).join(''), { flag: exclusive ? 'wx' : 'w' });
}

/** The recorded processes, in the order of the file: the pid, or undefined for one that no longer runs. */
export function readPidFile(file: string): (number | undefined)[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [pid, ...start] = line.split(' ');
    return pid && startOf(Number(pid)) === start.join(' ') ? Number(pid) : undefined;
  });
}

export interface LeftoverOptions {
  /** Written by a GuardedProcess: the child, then its parent. */
  readonly pidFile: string;
  readonly dataDir: string;
  readonly stopSignal: NodeJS.Signals;
  readonly graceMs: number;
}

/**
 * Ends a child that outlived its parent: it would hold the data and the port. Resolves once it is gone.
 * @throws StandaloneError when its parent lives: then it is no leftover.
 */
export async function stopLeftover({ pidFile, dataDir, stopSignal, graceMs }: LeftoverOptions): Promise<void> {
  const [pid, parent] = readPidFile(pidFile);
  if (pid === undefined) return;
  if (parent !== undefined) {
    throw new StandaloneError(
      `${dataDir} is in use by process ${parent}: stop that one first, or set STANDALONE_DATA_DIR to another folder.`,
    );
  }
  process.kill(pid, stopSignal);
  const killAt = Date.now() + graceMs;
  const gone = (): true | undefined => {
    if (readPidFile(pidFile)[0] === undefined) return true;
    if (Date.now() > killAt) process.kill(pid, 'SIGKILL');
    return undefined;
  };
  await waitFor(gone, { what: `The end of process ${pid}, left over from an earlier run,`, withinMs: graceMs + 10_000 });
  rmSync(pidFile, { force: true });
}

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
 * Records a running process.
 * @throws an error with code EEXIST when `exclusive` and the file is there.
 */
export function writePidFile(file: string, pid: number, { exclusive = false } = {}): void {
  writeFileSync(file, `${pid} ${startOf(pid) ?? ''}\n`, { flag: exclusive ? 'wx' : 'w' });
}

/** The recorded process's pid, if that very process still runs. */
export function readLivePid(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const [pid, ...start] = readFileSync(file, 'utf8').trim().split(' ');
  return pid && startOf(Number(pid)) === start.join(' ') ? Number(pid) : undefined;
}

/**
 * Ends the recorded process if it still runs: one that outlived its killed parent would hold the data and the port.
 * @returns its pid, or undefined when there was none.
 * @throws StandaloneError when it is still there 30 s after SIGKILL's turn came.
 */
export async function stopLeftover(file: string, stopSignal: NodeJS.Signals, graceMs: number): Promise<number | undefined> {
  const pid = readLivePid(file);
  if (pid === undefined) return undefined;
  process.kill(pid, stopSignal);
  const killAt = Date.now() + graceMs;
  const gone = (): true | undefined => {
    if (readLivePid(file) === undefined) return true;
    if (Date.now() > killAt) process.kill(pid, 'SIGKILL');
    return undefined;
  };
  await waitFor(gone, { what: `Stopping process ${pid}, left over from an earlier run,`, withinMs: graceMs + 30_000 });
  rmSync(file, { force: true });
  return pid;
}

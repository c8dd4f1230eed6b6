import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** A running embedded server: how to notice its end, and how to end it. */
export interface EmbeddedServer {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended for any reason, with how: "ended by SIGKILL". Never rejects. */
  readonly exited: Promise<string>;
  /** Shuts the process down and resolves when it has ended. May be called more than once. */
  stop(): Promise<void>;
  /** Ends the process immediately, without waiting. */
  kill(): void;
}

interface GuardedOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** File for standard output and error. The log of the previous run is kept beside it as `<logFile>.1`. */
  readonly logFile: string;
  readonly pidFile: string;
  readonly stopSignal: NodeJS.Signals;
  /** Signal that ends the process immediately, when there is no time for `stopSignal`. */
  readonly killSignal: NodeJS.Signals;
  /** Grace period (ms) for the shutdown before SIGKILL. */
  readonly graceMs: number;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Shell script that ends the child when this process has ended, for whatever reason: then the script's standard input, which this process
 * holds open, is closed. Arguments: the child's pid, the signal, the seconds until SIGKILL.
 */
const REAPER = `read -r _; kill -s "$2" "$1" 2>/dev/null; n=$3
while [ "$n" -gt 0 ] && kill -0 "$1" 2>/dev/null; do sleep 1; n=$((n - 1)); done
kill -s KILL "$1" 2>/dev/null`;

/**
 * A child process that cannot outlive this process. It runs in a session of its own, so that a Ctrl-C in the terminal reaches this process
 * alone, which stops its children in order. If this process is killed, even with SIGKILL, a reaper (a waiting shell) ends the child.
 */
export class SupervisedProcess {
  readonly pid: number;
  /** Resolves when the process has ended, with how: "ended with code 1". Never rejects. */
  readonly exited: Promise<string>;
  private exit: string | undefined;
  private readonly child: ChildProcess;

  /** @throws StandaloneError when the command cannot be run at all. */
  constructor(private readonly options: GuardedOptions) {
    if (existsSync(options.logFile)) renameSync(options.logFile, `${options.logFile}.1`);
    const log = openSync(options.logFile, 'w');
    this.child = spawn(options.command, options.args, { detached: true, stdio: ['ignore', log, log], ...options.user });
    closeSync(log);
    this.child.on('error', () => undefined);
    if (this.child.pid === undefined) throw new StandaloneError(`${options.command} cannot be run: check that it exists and is executable`);
    this.pid = this.child.pid;
    writePidFile(options.pidFile, [this.pid, process.pid]);
    const reaper = this.startReaper();
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        reaper.kill('SIGKILL');
        rmSync(options.pidFile, { force: true });
        this.exit = signal ? `ended by ${signal}` : `ended with code ${code}`;
        resolve(this.exit);
      });
    });
  }

  /** How the process ended; undefined while it runs. */
  get ended(): string | undefined {
    return this.exit;
  }

  /** Shuts the process down, with SIGKILL after the grace period. Resolves when it has ended. May be called repeatedly and at any time. */
  async stop(): Promise<void> {
    if (this.exit !== undefined) return;
    this.child.kill(this.options.stopSignal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), this.options.graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** Ends the process immediately, without waiting. Its data survive that. */
  kill(): void {
    if (this.exit === undefined) this.child.kill(this.options.killSignal);
  }

  /** Returns the last line of the log that matches, from the match on; the last line of the log if none matches. */
  lastLogLine(pattern: RegExp): string {
    const lines = readFileSync(this.options.logFile, 'utf8').trimEnd().split('\n');
    const match = lines.findLast((line) => pattern.test(line));
    return (match?.slice(match.search(pattern)) ?? lines.at(-1) ?? '').trim();
  }

  private startReaper(): ChildProcess {
    const args = [
      '-c',
      REAPER,
      'reaper',
      String(this.pid),
      this.options.stopSignal.replace('SIG', ''),
      String(this.options.graceMs / 1000),
    ];
    const reaper = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    reaper.on('error', () => undefined);
    reaper.unref();
    const stdin = reaper.stdin as unknown as { unref(): void; on(event: 'error', listener: () => void): void };
    stdin.on('error', () => undefined);
    stdin.unref();
    return reaper;
  }
}

/** Fields of /proc/<pid>/stat after the command's name: 0 is the state, 19 the start in clock ticks since boot. */
const STATE_FIELD = 0;
const START_FIELD = 19;

/** Returns when the process started, in a stable notation, so that a reused pid is not mistaken for it; undefined when it does not run. A zombie does not run. */
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
 * @throws an error with code EEXIST when `exclusive` and the file exists.
 */
export function writePidFile(file: string, pids: readonly number[], { exclusive = false } = {}): void {
  writeFileSync(file, pids.map((pid) => `${pid} ${startOf(pid) ?? ''}\n`).join(''), { flag: exclusive ? 'wx' : 'w' });
}

/** Returns the recorded processes in the order of the file: the pid, or undefined for a process that no longer runs. */
export function readPidFile(file: string): (number | undefined)[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [pid, ...start] = line.split(' ');
    return pid && startOf(Number(pid)) === start.join(' ') ? Number(pid) : undefined;
  });
}

interface LeftoverOptions {
  /** Written by a SupervisedProcess: the child, then its parent. */
  readonly pidFile: string;
  readonly dataDir: string;
  readonly stopSignal: NodeJS.Signals;
  readonly graceMs: number;
}

/**
 * Ends a child that outlived its parent and still holds the data and the port. Resolves when it has ended.
 * @throws StandaloneError when its parent still runs.
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
  const hasEnded = (): true | undefined => {
    if (readPidFile(pidFile)[0] === undefined) return true;
    if (Date.now() > killAt) process.kill(pid, 'SIGKILL');
    return undefined;
  };
  await waitFor(hasEnded, { what: `The end of process ${pid}, left over from an earlier run,`, withinMs: graceMs + 10_000 });
  rmSync(pidFile, { force: true });
}

interface CommandOptions {
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly onLine?: (line: string) => void;
  /** Ends the command. The call then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

interface CommandResult {
  /** Undefined when the command was not found or ended by a signal. */
  readonly code: number | undefined;
  /** Lines of standard output and error, in the order in which they arrived. */
  readonly lines: readonly string[];
}

/** Runs a command and resolves when it has ended. Never throws because the command failed. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options.user });
  const lines: string[] = [];
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      lines.push(line);
      options.onLine?.(line);
    });
  }
  const stop = (): boolean => child.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop);
  const code = await new Promise<number | undefined>((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('close', (status) => resolve(status ?? undefined));
  });
  options.signal?.removeEventListener('abort', stop);
  options.signal?.throwIfAborted();
  return { code, lines };
}

interface WaitOptions {
  /** The name of the awaited condition in the error: "<what> is not ready after 60 s". */
  readonly what: string;
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Interval (ms) between two checks. */
const POLL_INTERVAL_MS = 25;

/**
 * Calls `check` until it returns a value other than undefined, and returns that value. An error of `check` ends the wait.
 * @throws StandaloneError after `withinMs`; the signal's reason when aborted.
 */
export async function waitFor<T>(check: () => Promise<T | undefined> | T | undefined, options: WaitOptions): Promise<T> {
  const deadline = Date.now() + options.withinMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const result = await check();
    if (result !== undefined) return result;
    if (Date.now() >= deadline) throw new StandaloneError(`${options.what} is not ready after ${options.withinMs / 1000} s`);
    await delay(POLL_INTERVAL_MS, undefined, { signal: options.signal });
  }
}

/** A failed start whose cause the user can remove. The message is one line: what is wrong, then what to do. */
export class StandaloneError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StandaloneError';
  }
}

/** Returns the folder of the checkout, both for the sources and for dist/. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

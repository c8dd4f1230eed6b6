import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** A running part: what it takes to notice its end and to end it. */
export interface Part {
  readonly name: string;
  readonly pid: number;
  /** Resolves, never rejects, when the process has ended, asked to or not, with how: "ended by SIGKILL". */
  readonly exited: Promise<string>;
  /** Ends it in order and resolves once it is gone. May be called more than once. */
  stop(): Promise<void>;
  /** Ends it at once, without waiting. */
  kill(): void;
}

interface GuardedOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and error. The log of the run before is kept beside it as `<logFile>.1`. */
  readonly logFile: string;
  readonly pidFile: string;
  readonly stopSignal: NodeJS.Signals;
  /** What ends it at once, when there is no time for `stopSignal`. */
  readonly killSignal: NodeJS.Signals;
  /** Time for an orderly end before SIGKILL, ms. */
  readonly graceMs: number;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Reads until its standard input, held by our process, is closed: then our process is gone, however it ended, and so must the child be.
 * Arguments: the child's pid, the signal, the seconds until SIGKILL.
 */
const REAPER = `read -r _; kill -s "$2" "$1" 2>/dev/null; n=$3
while [ "$n" -gt 0 ] && kill -0 "$1" 2>/dev/null; do sleep 1; n=$((n - 1)); done
kill -s KILL "$1" 2>/dev/null`;

/**
 * A child that can't outlive us. It runs in its own session, so that a Ctrl-C in the terminal reaches only us and the order of stopping is ours;
 * if we are killed, even with SIGKILL, a reaper (a waiting shell) ends it.
 */
export class GuardedProcess {
  readonly pid: number;
  /** Resolves, never rejects, when the process has ended, with how: "ended with code 1". */
  readonly exited: Promise<string>;
  private how: string | undefined;
  private readonly child: ChildProcess;

  /** @throws StandaloneError when the command can't be run at all. */
  constructor(private readonly options: GuardedOptions) {
    if (existsSync(options.logFile)) renameSync(options.logFile, `${options.logFile}.1`);
    const log = openSync(options.logFile, 'w');
    this.child = spawn(options.command, options.args, { detached: true, stdio: ['ignore', log, log], ...options.user });
    closeSync(log);
    this.child.on('error', () => undefined);
    if (this.child.pid === undefined) throw new StandaloneError(`${options.command} can't be run: is it there and executable?`);
    this.pid = this.child.pid;
    writePidFile(options.pidFile, [this.pid, process.pid]);
    const reaper = this.startReaper();
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        reaper.kill('SIGKILL');
        rmSync(options.pidFile, { force: true });
        this.how = signal ? `ended by ${signal}` : `ended with code ${code}`;
        resolve(this.how);
      });
    });
  }

  /** How it ended, or undefined while it runs. */
  get ended(): string | undefined {
    return this.how;
  }

  /** Ends it in order; SIGKILL when the grace time is over. Resolves once it is gone. May be called again and at any time. */
  async stop(): Promise<void> {
    if (this.how !== undefined) return;
    this.child.kill(this.options.stopSignal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), this.options.graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** Ends it at once and doesn't wait. Its data must survive that, and does. */
  kill(): void {
    if (this.how === undefined) this.child.kill(this.options.killSignal);
  }

  /** The last line of its log that matches, without what stands before the match; the last line at all when none does. */
  lastWords(pattern: RegExp): string {
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

interface LeftoverOptions {
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

interface CommandOptions {
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly onLine?: (line: string) => void;
  /** Ends the command; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

interface CommandResult {
  /** Undefined when the command was not found or ended by a signal. */
  readonly code: number | undefined;
  /** Standard output and error, in the order they came. */
  readonly lines: readonly string[];
}

/** Runs a command to its end and never throws for its failure. Resolves when it is gone. */
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
  /** Names the awaited thing in the error: "<what> is not ready after 60 s". */
  readonly what: string;
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Pause between two looks, ms. */
const PAUSE_MS = 25;

/**
 * Asks `check` until it answers something but undefined, and returns that. What `check` throws ends the wait.
 * @throws StandaloneError after `withinMs`; the signal's reason when aborted.
 */
export async function waitFor<T>(check: () => Promise<T | undefined> | T | undefined, options: WaitOptions): Promise<T> {
  const deadline = Date.now() + options.withinMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const answer = await check();
    if (answer !== undefined) return answer;
    if (Date.now() >= deadline) throw new StandaloneError(`${options.what} is not ready after ${options.withinMs / 1000} s`);
    await delay(PAUSE_MS, undefined, { signal: options.signal });
  }
}

/** A start that can't go on for a reason its user can remove. The message is one line: what is wrong, then what to do. */
export class StandaloneError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StandaloneError';
  }
}

/** The checkout's folder, whether this runs as source or from dist/. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { StandaloneError } from './standalone.error.js';
import { writePidFile } from './pid-file.js';

export interface GuardedOptions {
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

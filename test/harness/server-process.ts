import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { eventually } from './eventually.js';
import { SERVER_MAIN, serverBundle } from './server-bundle.js';
import { TIMINGS_VARIABLE } from './timings.js';
import type { World } from './world.js';

/** All running processes. None may outlive the tests, not even a stopped one. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * The built server as a separate process that can be killed. It runs `main.js` unless its environment contains timings; with them, it runs the
 * server's bundle, except with a module that changes the server's.
 */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    private readonly printed: string[],
  ) {}

  /** Starts a process and resolves when it is ready. `environment` is that of a World; `flags` are Node's. */
  static async start(environment: Readonly<Record<string, string>>, flags: readonly string[] = []): Promise<ServerProcess> {
    const server = await ServerProcess.launch(environment, flags);
    await server.ready();
    return server;
  }

  /** Resolves when the process exists. It may not handle signals yet, nor ever become ready, as its dependencies may be down. */
  static async launch(environment: Readonly<Record<string, string>>, flags: readonly string[] = []): Promise<ServerProcess> {
    return ServerProcess.spawn({ ...environment, PORT: String(await pickFreePort()) }, flags);
  }

  /** Runs a process that ends by itself. @returns its exit code and its output. */
  static async refusal(environment: Readonly<Record<string, string>>): Promise<{ code: number | null; output: string }> {
    const server = await ServerProcess.spawn(environment);
    const [code] = (await once(server.child, 'close')) as [number | null];
    return { code, output: server.output };
  }

  private static async spawn(environment: Readonly<Record<string, string>>, flags: readonly string[] = []): Promise<ServerProcess> {
    const child = spawn(process.execPath, [...flags, ...(await mainModule(environment, flags))], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const printed: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => printed.push(text));
    return new ServerProcess(child, `http://127.0.0.1:${environment['PORT']}`, printed);
  }

  /** The output so far. */
  get output(): string {
    return this.printed.join('');
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** The way in which the process ended: "code 1", "SIGKILL". Undefined while it runs. */
  get ended(): string | undefined {
    return this.child.signalCode ?? (this.child.exitCode === null ? undefined : `code ${this.child.exitCode}`);
  }

  /** Resolves when the process is ready. @throws Error when it ends before. */
  async ready(withinMs = 60_000): Promise<void> {
    await eventually(() => this.isReady(), withinMs);
  }

  /** Sends the signal and waits for the end. @returns the exit code, or null if the signal killed the process. */
  async signal(signal: NodeJS.Signals): Promise<number | null> {
    this.send(signal);
    return this.exit();
  }

  send(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Resolves when the process has ended and its output is read. */
  async exit(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    return this.child.exitCode;
  }

  /** Suspends the process, as on a machine that hangs. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  private async isReady(): Promise<boolean> {
    if (this.child.exitCode !== null) throw new Error(`The server exited with ${this.child.exitCode}: ${this.output}`);
    const response = await fetch(`${this.url}/health/ready`).catch(() => undefined);
    return ((await response?.json()) as { status?: string } | undefined)?.status === 'ok';
  }
}

/** Returns the main module of a server process, with its arguments. */
async function mainModule(environment: Readonly<Record<string, string>>, flags: readonly string[]): Promise<string[]> {
  if (environment[TIMINGS_VARIABLE] === undefined) return ['dist/apps/server/src/main.js'];
  return flags.includes('--import') ? [SERVER_MAIN] : [SERVER_MAIN, 'run', await serverBundle()];
}

/** Maximum heap (MB) of each role. Node aborts a process that needs more. */
export const HEAP_LIMIT_MB = 256;
const SAMPLE_INTERVAL_MS = 250;
const RESPONSE_TIMEOUT_MS = 5_000;
const MB = 1024 * 1024;

/** Highest memory usage that was observed, in MB. */
export interface Peak {
  heap: number;
  /** Buffers, outside of the heap. */
  external: number;
  resident: number;
}

/** A server process with at most 256 MB of heap, and its highest observed memory usage. */
export class WatchedProcess {
  readonly peak: Peak = { heap: 0, external: 0, resident: 0 };
  private watching = true;
  private readonly watch: Promise<void>;

  private constructor(
    readonly name: string,
    readonly server: ServerProcess,
  ) {
    this.watch = this.sample();
  }

  static async start(world: World, roles: string, env: Readonly<Record<string, string>> = {}): Promise<WatchedProcess> {
    const flags = [`--max-old-space-size=${HEAP_LIMIT_MB}`];
    return new WatchedProcess(roles, await ServerProcess.start({ ...world.environment(), ROLES: roles, ...env }, flags));
  }

  /** Returns one sample of the process's metrics, or NaN if it does not exist. */
  async metric(name: string): Promise<number> {
    return valueOf(await this.metrics(), name);
  }

  /** Stops the process. @returns the exit code and the output, which has the reason if Node aborted it. */
  async stop(): Promise<{ code: number | null; output: string }> {
    this.watching = false;
    await this.watch;
    const code = await this.server.signal('SIGTERM');
    return { code, output: this.server.output };
  }

  toString(): string {
    const { heap, external, resident } = this.peak;
    return `${this.name}: heap ${Math.round(heap)} MB, external ${Math.round(external)} MB, resident ${Math.round(resident)} MB`;
  }

  private async metrics(): Promise<string> {
    const response = await fetch(`${this.server.url}/metrics`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) });
    return response.text();
  }

  private async sample(): Promise<void> {
    while (this.watching) {
      const text = await this.metrics().catch(() => '');
      this.see('heap', text, 'nodejs_heap_size_used_bytes');
      this.see('external', text, 'nodejs_external_memory_bytes');
      this.see('resident', text, 'process_resident_memory_bytes');
      await delay(SAMPLE_INTERVAL_MS);
    }
  }

  private see(part: keyof Peak, text: string, metric: string): void {
    const value = valueOf(text, metric) / MB;
    if (value > this.peak[part]) this.peak[part] = value;
  }
}

function valueOf(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Role } from '#config';
import { ServerProcess } from '../harness/server-process.js';
import { readinessOf } from '../harness/eventually.js';
import type { History } from './history.js';

/** The service's processes: two of everything that can take over, each with one role. */
const MEMBERS = { api: 'api', 'sync-1': 'sync', 'sync-2': 'sync', 'replica-1': 'replica', 'replica-2': 'replica' } as const;

export type MemberName = keyof typeof MEMBERS | 'replica-3';

const POLL_INTERVAL_MS = 200;
const RESPONSE_TIMEOUT_MS = 1_500;
/** Interval (ms) of the measurements. Each one collects all metrics: queries to both databases and Kafka from each of five processes. */
const MEASURE_INTERVAL_MS = 3_000;

/** The unexpected end of a process. */
export interface Exit {
  readonly member: string;
  readonly how: string;
  readonly lastWords: string;
}

/**
 * The processes of a run, with a supervisor as in production: a process that ends by itself is recorded and started again. Each has
 * at most 256 MB of heap, so a process that needs more ends by itself.
 */
export class Fleet {
  readonly exits: Exit[] = [];
  /** Highest heap usage that any process reported, in bytes. */
  peakHeap = 0;
  /** The processes that are meant to run. */
  private readonly members = new Map<MemberName, ServerProcess>();
  private readonly stopping = new AbortController();
  /** All processes that were started, in order. */
  private readonly started: { readonly member: string; readonly process: ServerProcess }[] = [];
  private watching: Promise<void>[] = [];

  constructor(
    private readonly environment: (role: Role) => Readonly<Record<string, string>>,
    private readonly history: History,
  ) {}

  /** Starts all processes. Resolves when they are ready. */
  async start(): Promise<void> {
    const names = Object.keys(MEMBERS) as (keyof typeof MEMBERS)[];
    await Promise.all(names.map((name) => this.launch(name)));
    await Promise.all(names.map((name) => this.members.get(name)!.ready(120_000)));
    this.watching = [this.supervise(), this.measure()];
  }

  /** Returns the URL at which a member listens, or listened when it ran last. */
  url(name: MemberName): string {
    return this.started.findLast(({ member }) => member === name)!.process.url;
  }

  /** Returns the members of a role that are meant to run. */
  membersOf(role: Role): MemberName[] {
    return [...this.members.keys()].filter((name) => name.startsWith(role));
  }

  /** Starts a member, or starts it again. It need not be ready when this resolves. */
  async launch(name: MemberName): Promise<ServerProcess> {
    const role = name === 'replica-3' ? 'replica' : MEMBERS[name];
    const process = await ServerProcess.launch(this.environment(role), ['--max-old-space-size=256']);
    this.members.set(name, process);
    this.started.push({ member: name, process });
    return process;
  }

  /** Ends a member; the supervisor does not start it again. */
  async end(name: MemberName, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const process = this.members.get(name);
    this.members.delete(name);
    await process?.signal(signal);
  }

  pause(name: MemberName): void {
    this.members.get(name)?.pause();
  }

  resume(name: MemberName): void {
    this.members.get(name)?.resume();
  }

  /** Returns the member that reports that it captures, or the first one if none does. */
  async capturing(): Promise<MemberName> {
    for (const name of this.membersOf('sync')) {
      const readiness = await Promise.race([readinessOf(this.url(name)).catch(() => undefined), delay(RESPONSE_TIMEOUT_MS)]);
      if (readiness?.checks['sync']?.state === 'running') return name;
    }
    return 'sync-1';
  }

  /** @throws Error of the first member that does not become ready. */
  async ready(withinMs: number): Promise<void> {
    await Promise.all([...this.members].map(([name, process]) => this.readyOrWhy(name, process, withinMs)));
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await Promise.all([...this.members.keys()].map((name) => this.end(name, 'SIGKILL')));
    await Promise.all(this.watching);
  }

  /** Returns the output of all members, each under its name. */
  output(): string {
    return this.started.map(({ member, process }) => `── ${member} (${process.pid})\n${process.output}`).join('\n');
  }

  private async readyOrWhy(name: MemberName, process: ServerProcess, withinMs: number): Promise<void> {
    try {
      await process.ready(withinMs);
    } catch (error) {
      const readiness = await readinessOf(process.url).catch(() => undefined);
      throw new Error(`${name} is not ready: ${JSON.stringify(readiness?.checks ?? (error as Error).message)}`, { cause: error });
    }
  }

  private async supervise(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      for (const [member, process] of [...this.members]) {
        const how = process.ended;
        if (how === undefined || this.members.get(member) !== process) continue;
        const exit = { member, how, lastWords: process.output.trimEnd().slice(-600) };
        this.exits.push(exit);
        this.history.note('exit', exit);
        await this.launch(member);
      }
      await delay(POLL_INTERVAL_MS);
    }
  }

  private async measure(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const heaps = await Promise.all([...this.members.values()].map(({ url }) => heapOf(url)));
      this.peakHeap = Math.max(this.peakHeap, ...heaps.map((heap) => heap ?? 0));
      await delay(MEASURE_INTERVAL_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }
}

/** Returns undefined when the process does not answer: it may be stopped, or a part that its other metrics query may be away. */
async function heapOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) });
    const bytes = /^nodejs_heap_size_used_bytes (\d+)$/m.exec(await response.text())?.[1];
    return bytes === undefined ? undefined : Number(bytes);
  } catch {
    return undefined;
  }
}

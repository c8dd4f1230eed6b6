import { setTimeout as delay } from 'node:timers/promises';
import type { Role } from '#config';
import { ServerProcess } from '../harness/server-process.js';
import { readinessOf } from '../harness/eventually.js';
import type { History } from './history.js';

/** The service's processes: two of everything that can take over, each with one role. */
const MEMBERS = { api: 'api', 'sync-1': 'sync', 'sync-2': 'sync', 'replica-1': 'replica', 'replica-2': 'replica' } as const;

export type MemberName = keyof typeof MEMBERS | 'replica-3';

const LOOK_EVERY_MS = 200;
const ANSWER_WITHIN_MS = 1_500;
/** All metrics are made for it: queries to both databases and Kafka from each of five processes. */
const MEASURE_EVERY_MS = 3_000;

/** An end that nobody asked for. */
export interface Exit {
  readonly member: string;
  readonly how: string;
  readonly lastWords: string;
}

/**
 * The processes of a run, and the supervisor that a production would have: a process that ends by itself is noted and started
 * again. None gets more than 256 MB of heap, so one that wants more ends by itself.
 */
export class Fleet {
  readonly exits: Exit[] = [];
  /** Highest heap in use that any process reported, bytes. */
  peakHeap = 0;
  /** Those that are meant to run. */
  private readonly members = new Map<MemberName, ServerProcess>();
  private readonly stopping = new AbortController();
  /** All that there were, in order. */
  private readonly started: { readonly member: string; readonly process: ServerProcess }[] = [];
  private watching: Promise<void>[] = [];

  constructor(
    private readonly environment: (role: Role) => Readonly<Record<string, string>>,
    private readonly history: History,
  ) {}

  /** Resolves when all of them are ready. */
  async start(): Promise<void> {
    const names = Object.keys(MEMBERS) as (keyof typeof MEMBERS)[];
    await Promise.all(names.map((name) => this.launch(name)));
    await Promise.all(names.map((name) => this.members.get(name)!.ready(120_000)));
    this.watching = [this.supervise(), this.measure()];
  }

  /** Where a member listens, or did when it ran last. */
  url(name: MemberName): string {
    return this.started.findLast(({ member }) => member === name)!.process.url;
  }

  /** The members of a role that are meant to run. */
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

  /** The member that captures, as far as they say; else the first. */
  async capturing(): Promise<MemberName> {
    for (const name of this.membersOf('sync')) {
      const readiness = await Promise.race([readinessOf(this.url(name)).catch(() => undefined), delay(ANSWER_WITHIN_MS)]);
      if (readiness?.checks['sync']?.state === 'running') return name;
    }
    return 'sync-1';
  }

  /** @throws Error of the first that does not become ready. */
  async ready(withinMs: number): Promise<void> {
    await Promise.all([...this.members].map(([name, process]) => this.readyOrWhy(name, process, withinMs)));
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await Promise.all([...this.members.keys()].map((name) => this.end(name, 'SIGKILL')));
    await Promise.all(this.watching);
  }

  /** All that the members printed, each under its name. */
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
      await delay(LOOK_EVERY_MS);
    }
  }

  private async measure(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const heaps = await Promise.all([...this.members.values()].map(({ url }) => heapOf(url)));
      this.peakHeap = Math.max(this.peakHeap, ...heaps.map((heap) => heap ?? 0));
      await delay(MEASURE_EVERY_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }
}

/** Undefined when it does not answer: it may be stopped, or what its other metrics ask may be away. */
async function heapOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    const bytes = /^nodejs_heap_size_used_bytes (\d+)$/m.exec(await response.text())?.[1];
    return bytes === undefined ? undefined : Number(bytes);
  } catch {
    return undefined;
  }
}

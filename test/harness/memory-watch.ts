import { setTimeout as delay } from 'node:timers/promises';
import { ServerProcess } from './server-process.js';
import type { World } from './world.js';

/** What the issue allows each role, MB. Node aborts a process whose heap can't be kept below. */
export const HEAP_LIMIT_MB = 256;
const LOOK_EVERY_MS = 250;
const ANSWER_WITHIN_MS = 5_000;
const MB = 1024 * 1024;

/** Highest seen, MB. */
export interface Peak {
  heap: number;
  /** Buffers, outside of the heap. */
  external: number;
  resident: number;
}

/** A process of its own that may have 256 MB of heap, and the most memory it was seen to use. */
export class WatchedProcess {
  readonly peak: Peak = { heap: 0, external: 0, resident: 0 };
  private watching = true;
  private readonly watch: Promise<void>;

  private constructor(
    readonly name: string,
    readonly server: ServerProcess,
  ) {
    this.watch = this.look();
  }

  static async start(world: World, roles: string, env: Readonly<Record<string, string>> = {}): Promise<WatchedProcess> {
    const flags = [`--max-old-space-size=${HEAP_LIMIT_MB}`];
    return new WatchedProcess(roles, await ServerProcess.start({ ...world.environment(), ROLES: roles, ...env }, flags));
  }

  /** One sample of its metrics; NaN for one that it does not have. */
  async metric(name: string): Promise<number> {
    return valueOf(await this.metrics(), name);
  }

  /** @returns the exit code, and why Node ended it when it did. */
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
    const response = await fetch(`${this.server.url}/metrics`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    return response.text();
  }

  private async look(): Promise<void> {
    while (this.watching) {
      const text = await this.metrics().catch(() => '');
      this.see('heap', text, 'nodejs_heap_size_used_bytes');
      this.see('external', text, 'nodejs_external_memory_bytes');
      this.see('resident', text, 'process_resident_memory_bytes');
      await delay(LOOK_EVERY_MS);
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

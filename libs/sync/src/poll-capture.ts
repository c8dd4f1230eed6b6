import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import {
  BEGINNING,
  type Change,
  currentSnapshot,
  formatSnapshot,
  loadCheckpoint,
  readLog,
  type Snapshot,
  storeCheckpoint,
} from '#change-log';
import type { Capture } from './capture.js';
import { Checkpoint } from './checkpoint.js';

/** An idle database is looked at ever more rarely, up to this many intervals apart. */
const IDLE_BACKOFF = 5;
/** A checkpoint that no change moved is stored this rarely, ms. */
const IDLE_STORE_MS = 10_000;

/**
 * The periodic check: reads what became visible between two snapshots of DB1. Works on any PostgreSQL 14 or newer, without
 * rights or settings of its own.
 */
export class PollCapture implements Capture {
  readonly mode = 'poll';
  private readonly checkpoint = new Checkpoint<Snapshot>();
  private stored: Snapshot | undefined;
  private storedAt = 0;

  /**
   * `client` is this capture's alone while it runs; it holds the lease. `intervalMs`: pause between two looks at the log.
   * `note`: why it is not `wal`, if that was wanted; it ends after `endAfterMs` then, so that `wal` is tried again.
   */
  constructor(
    private readonly client: Client,
    private readonly intervalMs: number,
    readonly note?: string,
    private readonly endAfterMs = Infinity,
  ) {}

  async *batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    this.stored = (await loadCheckpoint(this.client))?.snapshot;
    let from = this.stored ?? BEGINNING;
    let pause = this.intervalMs;
    const started = Date.now();
    while (!signal.aborted && Date.now() - started < this.endAfterMs) {
      let found = false;
      const to = await currentSnapshot(this.client);
      if (formatSnapshot(to) !== formatSnapshot(from)) {
        this.checkpoint.begin();
        for await (const changes of readLog(this.client, from, to)) {
          found = true;
          for (let i = 0; i < changes.length; i += 1) this.checkpoint.receive();
          yield changes;
          if (signal.aborted) return;
        }
        this.checkpoint.commit(to);
        from = to;
        await this.store(found ? 0 : IDLE_STORE_MS);
      }
      pause = found ? this.intervalMs : Math.min(pause * 1.5, this.intervalMs * IDLE_BACKOFF);
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  published(count: number): Promise<void> {
    this.checkpoint.publish(count);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.store(0);
  }

  /** Stores the position when it moved, and not more often than every `everyMs`. */
  private async store(everyMs: number): Promise<void> {
    const snapshot = this.checkpoint.position;
    if (!snapshot || snapshot === this.stored || Date.now() - this.storedAt < everyMs) return;
    await storeCheckpoint(this.client, { snapshot, lsn: undefined });
    this.stored = snapshot;
    this.storedAt = Date.now();
  }
}

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
import { sleep, type SyncTimings } from '#config';
import type { Capture } from './capture.js';
import { Checkpoint } from './checkpoint.js';

/** Maximum factor by which the interval grows while the log is idle. */
const MAX_IDLE_FACTOR = 5;

/**
 * The periodic check: reads what became visible between two snapshots of DB1. Works on PostgreSQL 14 or newer, without privileges or
 * settings of its own.
 */
export class PollCapture implements Capture {
  readonly mode = 'poll';
  private readonly checkpoint = new Checkpoint<Snapshot>();
  private stored: Snapshot | undefined;
  private storedAt = 0;

  /**
   * `client` holds the lease; no one else uses it while this capture runs. `intervalMs` is the pause between two polls of the log. `note`
   * says why the capture is not `wal`, if that was requested: the capture then ends after a while, so that `wal` is tried again.
   */
  constructor(
    private readonly client: Client,
    private readonly intervalMs: number,
    private readonly timings: SyncTimings,
    readonly note?: string,
  ) {}

  async *batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    this.stored = (await loadCheckpoint(this.client))?.snapshot;
    let from = this.stored ?? BEGINNING;
    let pauseMs = this.intervalMs;
    const endsAt = this.note === undefined ? Infinity : Date.now() + this.timings.walRetryMs;
    while (!signal.aborted && Date.now() < endsAt) {
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
        await this.store(found ? 0 : this.timings.checkpointIdleMs);
      }
      pauseMs = found ? this.intervalMs : Math.min(pauseMs * 1.5, this.intervalMs * MAX_IDLE_FACTOR);
      await sleep(pauseMs, signal);
    }
  }

  published(count: number): Promise<void> {
    this.checkpoint.publish(count);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.store(0);
  }

  /** Stores the position if it has moved, at most every `intervalMs`. */
  private async store(intervalMs: number): Promise<void> {
    const snapshot = this.checkpoint.position;
    if (!snapshot || snapshot === this.stored || Date.now() - this.storedAt < intervalMs) return;
    await storeCheckpoint(this.client, { snapshot, lsn: undefined });
    this.stored = snapshot;
    this.storedAt = Date.now();
  }
}

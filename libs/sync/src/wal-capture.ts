import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import {
  BEGINNING,
  type Change,
  currentSnapshot,
  isVisible,
  loadCheckpoint,
  parseSnapshot,
  readLog,
  type Snapshot,
  storeCheckpoint,
} from '#change-log';
import type { DatabaseSettings, SyncTimings } from '#config';
import type { Capture } from './capture.js';
import {
  findSlot,
  type PreparedSlot,
  prepareSlot,
  PUBLICATION,
  type Slot,
  type SlotCreation,
  type SlotProblem,
} from './replication-slot.js';
import { ReplicationStream } from './replication-stream.js';

/** A snapshot, and a position in the WAL after the commits of everything that it sees. */
interface Watermark {
  readonly snapshot: Snapshot;
  readonly lsn: bigint;
  /** Number of changes that had been published when it was taken. */
  readonly publishedBefore: number;
}

/**
 * Reads the log from a replication slot, a few ms behind the commit.
 *
 * A lost slot loses nothing: a new one is created first, then the log is read by SQL from the stored checkpoint up to a snapshot taken after
 * that, then the stream continues ({@link catchUp}). The slot's position tells whether the slot can be trusted: it is never confirmed past
 * what is stored in DB1, so a slot that is ahead of the checkpoint is not the one that this service left.
 */
export class WalCapture implements Capture {
  readonly mode = 'wal';
  private readonly stream: ReplicationStream;
  private prepared: PreparedSlot | undefined;
  private watermark: Watermark | undefined;
  private storedAt = 0;
  private publishedCount = 0;
  /** Number of published changes that the stored snapshot sees. */
  private coveredCount = 0;
  /** Whether the log is read from the stream. While it is read by SQL nothing is confirmed. */
  private isStreaming = false;
  /** Whether a transaction that was received has not ended. */
  private isAwaitingCommit = false;

  /** `client` holds the lease and stores the checkpoint. The stream has a connection of its own. */
  constructor(
    private readonly client: Client,
    private readonly settings: DatabaseSettings,
    private readonly slot: string,
    private readonly timings: SyncTimings,
  ) {
    this.stream = new ReplicationStream(settings, slot, PUBLICATION, timings);
  }

  get note(): string | undefined {
    if (this.isAwaitingCommit) return 'changes wait until DB1 has committed them, which waits for its synchronous standbys';
    return this.prepared?.creation?.isDone === false
      ? 'the replication slot is being created, which waits for transactions that are open in DB1; the log is read by SQL meanwhile'
      : undefined;
  }

  /**
   * Prepares publication, slot and connection. A new slot may still be in creation when this returns.
   * @throws the error that PostgreSQL sends if logical decoding is not possible (`isLogicalDecodingRefused`), SlotNotOursError.
   */
  async prepare(onSlotProblem: (problem: SlotProblem) => void): Promise<void> {
    this.prepared = await prepareSlot(this.client, this.settings, this.slot, this.timings, onSlotProblem);
    await this.stream.connect();
  }

  async *batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    yield* this.catchUp(signal);
    if (signal.aborted) return;
    this.stream.start();
    this.isStreaming = true;
    signal.addEventListener('abort', () => this.stream.interrupt(), { once: true });
    const { checkpointBusyMs, checkpointIdleMs } = this.timings;
    while (!signal.aborted) {
      await this.store(this.coveredCount < this.publishedCount ? checkpointBusyMs : checkpointIdleMs);
      const changes = await this.stream.next(checkpointBusyMs);
      if (changes.length === 0) await this.checkStream();
      else if (await this.areVisible(signal)) yield changes;
    }
  }

  /**
   * Waits until DB1 shows what was received. A commit is sent when it is in the WAL, and its transaction ends later: with a synchronous standby,
   * when that has answered. Until then, whoever compares DB2 with DB1 would see a change that DB1 does not have, and a failover could lose it.
   * @returns false when the signal aborts first.
   */
  private async areVisible(signal: AbortSignal): Promise<boolean> {
    let xids = this.stream.takeTransactions();
    for (let pauseMs = 1; xids.length > 0; pauseMs = Math.min(2 * pauseMs, this.timings.catchUpPollMs)) {
      const snapshot = await currentSnapshot(this.client);
      xids = xids.filter((xid) => !isVisible(snapshot, withEpoch(xid, snapshot)));
      this.isAwaitingCommit = xids.length > 0;
      if (this.isAwaitingCommit) await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return false;
    }
    return true;
  }

  published(count: number): Promise<void> {
    if (this.isStreaming) {
      this.stream.published(count);
      this.publishedCount += count;
    }
    return Promise.resolve();
  }

  async close(): Promise<void> {
    try {
      await this.store(0);
    } finally {
      await Promise.all([this.prepared?.creation?.close(), this.stream.close()]);
    }
  }

  /**
   * Reads the log by SQL from the checkpoint to a snapshot that was taken when the slot existed: it contains everything that committed before
   * the slot's first position. Reads nothing if the slot is where it was left. While the slot is being created, which may take as long as
   * another program's transaction, one window follows the other.
   */
  private async *catchUp(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    const { client } = this;
    const creation = this.prepared?.creation;
    const stored = await loadCheckpoint(client);
    if (!creation && stored?.lsn !== undefined && (await this.existingSlot()).confirmed <= stored.lsn) return;
    let from = stored?.snapshot ?? BEGINNING;
    for (let slotExists = false; !slotExists;) {
      slotExists = !creation || (await this.isCreated(creation, signal));
      const to = await currentSnapshot(client);
      let found = false;
      for await (const changes of readLog(client, from, to)) {
        found = true;
        yield changes;
        if (signal.aborted) return;
      }
      if (signal.aborted) return;
      if (slotExists) await storeCheckpoint(client, { snapshot: to, lsn: (await this.existingSlot()).confirmed });
      else if (found) await storeCheckpoint(client, { snapshot: to, lsn: undefined });
      from = to;
    }
  }

  /** Waits for a moment until the slot is created. Rejects with the reason why it cannot be. */
  private async isCreated(creation: SlotCreation, signal: AbortSignal): Promise<boolean> {
    const pause = delay(this.timings.catchUpPollMs, undefined, { signal, ref: false }).catch(() => undefined);
    await Promise.race([creation.done, pause]);
    return creation.isDone;
  }

  private async existingSlot(): Promise<Slot> {
    const slot = await findSlot(this.client, this.slot);
    if (!slot) throw new Error(`Replication slot ${this.slot} vanished`);
    return slot;
  }

  /** A stream that was cut off without a reset looks like an idle one. The server ends its side of it, so DB1 knows. */
  private async checkStream(): Promise<void> {
    const { silentMs } = this.stream;
    if (silentMs < this.timings.streamCheckMs) return;
    const slot = await findSlot(this.client, this.slot);
    if (slot?.reader === this.stream.pid && silentMs < this.timings.streamSilenceTimeoutMs) return;
    throw new Error(`The replication stream was cut off: nothing was received for ${Math.round(silentMs / 1_000)} s`);
  }

  /**
   * Stores the position, and only then confirms it to the slot. A watermark is taken first, and stored when the stream has passed it: the
   * WAL position then covers everything that its snapshot sees.
   */
  private async store(intervalMs: number): Promise<void> {
    if (!this.isStreaming || Date.now() - this.storedAt < intervalMs) return;
    const lsn = this.stream.position;
    if (this.watermark && lsn !== undefined && lsn >= this.watermark.lsn) {
      await storeCheckpoint(this.client, { snapshot: this.watermark.snapshot, lsn });
      this.stream.confirm(lsn);
      this.coveredCount = this.watermark.publishedBefore;
      this.watermark = undefined;
      this.storedAt = Date.now();
    }
    if (this.watermark) return;
    this.watermark = await this.takeWatermark();
    // If nothing else is written, the stream would pass it only with the next keep-alive.
    this.stream.requestKeepAlive();
  }

  private async takeWatermark(): Promise<Watermark> {
    // A commit record is written before its transaction leaves the list of running ones, and the snapshot is taken before the target list
    // is evaluated: everything that the snapshot sees as over has its commit before this position.
    const publishedBefore = this.publishedCount;
    const { rows } = await this.client.query<{ snapshot: string; lsn: string; published: boolean }>(
      `SELECT pg_current_snapshot()::text AS snapshot, (pg_current_wal_insert_lsn() - '0/0')::text AS lsn,
              EXISTS (SELECT FROM pg_publication WHERE oid = $1) AS published`,
      [this.prepared?.publication],
    );
    // Without it, PostgreSQL 18 keeps streaming, and leaves out what is written from then on.
    if (!rows[0]!.published) throw new Error(`Publication ${PUBLICATION} was dropped`);
    return { snapshot: parseSnapshot(rows[0]!.snapshot), lsn: BigInt(rows[0]!.lsn), publishedBefore };
  }
}

/** Returns the 64-bit ID of a transaction from its lower 32 bits. It is less than 2^31 transactions older than the snapshot, or is running. */
function withEpoch(xid: number, { xmax }: Snapshot): bigint {
  return xmax + BigInt.asIntN(32, BigInt(xid) - xmax);
}

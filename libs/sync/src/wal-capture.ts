import { Logger } from '@nestjs/common';
import type { DatabaseSettings } from '#config';
import type { Client } from 'pg';
import type { Capture } from './capture.js';
import type { Change } from './change.js';
import { loadCheckpoint, storeCheckpoint, type StoredCheckpoint } from './checkpoint-store.js';
import { currentSnapshotText, readLog } from './read-log.js';
import { ReplicationStream } from './replication-stream.js';
import { createSlot, dropIdleSlot, ensurePublication, findSlot, PUBLICATION } from './slot.js';
import { BEGINNING, parseSnapshot, type Snapshot } from './snapshot.js';

/** How often the position is stored while changes flow, and while only keep-alives move it, ms. */
const STORE_MS = { busy: 1_000, idle: 10_000 };

/** A snapshot, and a place in the WAL behind the commits of everything that it sees. */
interface Milestone {
  readonly snapshot: Snapshot;
  readonly lsn: bigint;
}

/**
 * Reads the log from a replication slot, a few ms behind the commit.
 *
 * A lost slot loses nothing: a new one is made first, then the log is read by SQL from the stored checkpoint up to a snapshot
 * taken after that, then the stream goes on. Everything that committed before the slot's first place is in that snapshot.
 * Whether the slot can be trusted is seen from its position: it is never confirmed past what is stored in DB1, so a slot that
 * is further than the checkpoint is not the one we left.
 */
export class WalCapture implements Capture {
  readonly mode = 'wal';
  private readonly logger = new Logger('capture');
  private readonly stream: ReplicationStream;
  private milestone: Milestone | undefined;
  private storedAt = 0;
  private moved = false;
  /** While the log is read by SQL nothing is confirmed. */
  private streaming = false;

  /** `client` holds the lease and keeps the checkpoint; the stream has a connection of its own. */
  constructor(
    private readonly client: Client,
    settings: DatabaseSettings,
    private readonly slot: string,
  ) {
    this.stream = new ReplicationStream(settings, slot, PUBLICATION);
  }

  /**
   * Makes publication and slot ready.
   * @throws what PostgreSQL answers where logical decoding is not possible: see why-no-wal.ts.
   */
  async prepare(): Promise<void> {
    await ensurePublication(this.client);
    const slot = await findSlot(this.client, this.slot);
    if (slot && !slot.unusable) return;
    if (slot?.unusable) {
      this.logger.error(`Replication slot ${this.slot} is unusable: ${slot.unusable}. A new one is made; nothing is lost.`);
      await dropIdleSlot(this.client, this.slot);
    }
    await createSlot(this.client, this.slot);
  }

  async *batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    yield* this.catchUp(signal);
    if (signal.aborted) return;
    await this.stream.open();
    this.streaming = true;
    signal.addEventListener('abort', () => this.stream.interrupt(), { once: true });
    while (!signal.aborted) {
      await this.store(this.moved ? STORE_MS.busy : STORE_MS.idle);
      const changes = await this.stream.next(STORE_MS.busy);
      if (changes.length > 0) yield changes;
    }
  }

  published(count: number): Promise<void> {
    if (this.streaming) {
      this.stream.published(count);
      this.moved = true;
    }
    return Promise.resolve();
  }

  async close(): Promise<void> {
    try {
      await this.store(0);
    } finally {
      await this.stream.close();
    }
  }

  private async *catchUp(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    const slot = await findSlot(this.client, this.slot);
    if (!slot) throw new Error(`Replication slot ${this.slot} vanished`);
    const stored = await loadCheckpoint(this.client);
    if (stored?.lsn !== undefined && slot.confirmed <= stored.lsn) return;
    if (stored) this.logger.warn(`Replication slot ${this.slot} is new: replaying the change log from the checkpoint`);
    const from = stored?.snapshot ?? BEGINNING;
    const to = parseSnapshot(await currentSnapshotText(this.client));
    for await (const changes of readLog(this.client, from, to)) {
      yield changes;
      if (signal.aborted) return;
    }
    await storeCheckpoint(this.client, { snapshot: to, lsn: slot.confirmed });
  }

  /**
   * Stores the position, and only then confirms it to the slot. A milestone is set first and stored when the stream has
   * passed it: the WAL place then covers all that its snapshot sees.
   */
  private async store(everyMs: number): Promise<void> {
    if (!this.streaming || Date.now() - this.storedAt < everyMs) return;
    const lsn = this.stream.position;
    if (this.milestone && lsn !== undefined && lsn >= this.milestone.lsn) {
      const checkpoint: StoredCheckpoint = { snapshot: this.milestone.snapshot, lsn };
      await storeCheckpoint(this.client, checkpoint);
      this.stream.confirm(lsn);
      this.milestone = undefined;
      this.moved = false;
      this.storedAt = Date.now();
    }
    this.milestone ??= await this.takeMilestone();
  }

  private async takeMilestone(): Promise<Milestone> {
    // Commit records come before their transactions leave the list of the running ones, and the snapshot is taken before the
    // target list is evaluated: what the snapshot sees over has its commit before this place.
    const { rows } = await this.client.query<{ snapshot: string; lsn: string }>(
      `SELECT pg_current_snapshot()::text AS snapshot, (pg_current_wal_insert_lsn() - '0/0')::text AS lsn`,
    );
    return { snapshot: parseSnapshot(rows[0]!.snapshot), lsn: BigInt(rows[0]!.lsn) };
  }
}

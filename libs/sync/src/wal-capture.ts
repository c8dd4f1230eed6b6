import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import {
  BEGINNING,
  type Change,
  currentSnapshot,
  loadCheckpoint,
  parseSnapshot,
  readLog,
  type Snapshot,
  storeCheckpoint,
  type StoredCheckpoint,
} from '#change-log';
import type { DatabaseSettings } from '#config';
import type { Capture } from './capture.js';
import { findSlot, type PreparedSlot, prepareSlot, PUBLICATION, type Slot, type SlotMaker, type SlotProblem } from './replication-slot.js';
import { ReplicationStream } from './replication-stream.js';

/** How often the position is stored while changes are published that the stored snapshot does not see, and while there are none, ms. */
const STORE_MS = { busy: 500, idle: 10_000 };
/**
 * When nothing came for so long, ms, though keep-alives are asked for every 2 s, DB1 is asked whether the stream is still there. A
 * server that sorts a huge transaction may be silent for a while; one that is for `deaf` is given up.
 */
const SILENT_MS = { suspicious: 10_000, deaf: 60_000 };

/** A snapshot, and a place in the WAL behind the commits of everything that it sees. */
interface Watermark {
  readonly snapshot: Snapshot;
  readonly lsn: bigint;
  /** How many changes had been published when it was set. */
  readonly after: number;
}

/**
 * Reads the log from a replication slot, a few ms behind the commit.
 *
 * A lost slot loses nothing: a new one is made first, then the log is read by SQL from the stored checkpoint up to a snapshot
 * taken after that, then the stream goes on. Whether the slot can be trusted is seen from its position: it is never
 * confirmed past what is stored in DB1, so a slot that is further than the checkpoint is not the one we left.
 */
export class WalCapture implements Capture {
  readonly mode = 'wal';
  private readonly stream: ReplicationStream;
  private prepared: PreparedSlot | undefined;
  private milestone: Watermark | undefined;
  private storedAt = 0;
  private publishedCount = 0;
  /** Of these, so many are seen by the snapshot that is stored. */
  private covered = 0;
  /** While the log is read by SQL nothing is confirmed. */
  private streaming = false;

  /** `client` holds the lease and keeps the checkpoint; the stream has a connection of its own. */
  constructor(
    private readonly client: Client,
    private readonly settings: DatabaseSettings,
    private readonly slot: string,
  ) {
    this.stream = new ReplicationStream(settings, slot, PUBLICATION);
  }

  get note(): string | undefined {
    return this.prepared?.maker?.isMade === false
      ? 'the replication slot is being made, which waits for transactions that are open in DB1; the log is read by SQL meanwhile'
      : undefined;
  }

  /**
   * Makes publication, slot and connection ready; a new slot may still be in the making.
   * @throws what PostgreSQL answers where logical decoding is not possible (see choose-capture.ts), SlotNotOursError.
   */
  async prepare(onTrouble: (trouble: SlotProblem) => void): Promise<void> {
    this.prepared = await prepareSlot(this.client, this.settings, this.slot, onTrouble);
    await this.stream.connect();
  }

  async *batches(signal: AbortSignal): AsyncGenerator<readonly Change[], void, void> {
    yield* catchUp(this.client, this.slot, this.prepared?.maker, signal);
    if (signal.aborted) return;
    this.stream.start();
    this.streaming = true;
    signal.addEventListener('abort', () => this.stream.interrupt(), { once: true });
    while (!signal.aborted) {
      await this.store(this.covered < this.publishedCount ? STORE_MS.busy : STORE_MS.idle);
      const changes = await this.stream.next(STORE_MS.busy);
      if (changes.length > 0) yield changes;
      else await this.expectLife();
    }
  }

  published(count: number): Promise<void> {
    if (this.streaming) {
      this.stream.published(count);
      this.publishedCount += count;
    }
    return Promise.resolve();
  }

  async close(): Promise<void> {
    try {
      await this.store(0);
    } finally {
      await Promise.all([this.prepared?.maker?.close(), this.stream.close()]);
    }
  }

  /** A stream that was cut off without a reset looks like an idle one. The server ends its side of it, and so DB1 knows. */
  private async expectLife(): Promise<void> {
    const silent = this.stream.silentMs;
    if (silent < SILENT_MS.suspicious) return;
    const slot = await findSlot(this.client, this.slot);
    if (slot?.reader === this.stream.pid && silent < SILENT_MS.deaf) return;
    throw new Error(`The replication stream was cut off: nothing came for ${Math.round(silent / 1_000)} s`);
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
      this.covered = this.milestone.after;
      this.milestone = undefined;
      this.storedAt = Date.now();
    }
    if (this.milestone) return;
    this.milestone = await this.takeMilestone();
    // Where nothing else is written the stream would pass it with the next keep-alive only.
    this.stream.askForKeepAlive();
  }

  private async takeMilestone(): Promise<Watermark> {
    // Commit records come before their transactions leave the list of the running ones, and the snapshot is taken before the
    // target list is evaluated: what the snapshot sees over has its commit before this place.
    const after = this.publishedCount;
    const { rows } = await this.client.query<{ snapshot: string; lsn: string; published: boolean }>(
      `SELECT pg_current_snapshot()::text AS snapshot, (pg_current_wal_insert_lsn() - '0/0')::text AS lsn,
              EXISTS (SELECT FROM pg_publication WHERE oid = $1) AS published`,
      [this.prepared?.publication],
    );
    // PostgreSQL 18 streams on without it, and leaves out what is written from then on.
    if (!rows[0]!.published) throw new Error(`Publication ${PUBLICATION} was dropped`);
    return { snapshot: parseSnapshot(rows[0]!.snapshot), lsn: BigInt(rows[0]!.lsn), after };
  }
}

/** Pause between two looks at the log while the slot is being made, ms. */
const POLL_INTERVAL_MS = 250;

/**
 * Reads the log by SQL from the checkpoint to a snapshot that was taken when the slot was there: everything that committed before
 * the slot's first place is in it. Nothing when the slot stands where it was left. While it is being made, which may take as
 * long as another program's transaction, window follows window.
 */
async function* catchUp(
  client: Client,
  name: string,
  maker: SlotMaker | undefined,
  signal: AbortSignal,
): AsyncGenerator<readonly Change[], void, void> {
  const stored = await loadCheckpoint(client);
  if (!maker && stored?.lsn !== undefined && (await existingSlot(client, name)).confirmed <= stored.lsn) return;
  let from = stored?.snapshot ?? BEGINNING;
  for (let made = false; !made;) {
    made = !maker || (await isMade(maker, signal));
    const to = await currentSnapshot(client);
    let found = false;
    for await (const changes of readLog(client, from, to)) {
      found = true;
      yield changes;
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    if (made) await storeCheckpoint(client, { snapshot: to, lsn: (await existingSlot(client, name)).confirmed });
    else if (found) await storeCheckpoint(client, { snapshot: to, lsn: undefined });
    from = to;
  }
}

/** Waits a little for it. Rejects with why it can't be made. */
async function isMade(maker: SlotMaker, signal: AbortSignal): Promise<boolean> {
  await Promise.race([maker.made, delay(POLL_INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined)]);
  return maker.isMade;
}

async function existingSlot(client: Client, name: string): Promise<Slot> {
  const slot = await findSlot(client, name);
  if (!slot) throw new Error(`Replication slot ${name} vanished`);
  return slot;
}

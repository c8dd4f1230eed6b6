import type { Client, Submittable } from 'pg';
import { BATCH, type Change } from '#change-log';
import type { DatabaseSettings, SyncTimings } from '#config';
import { Checkpoint } from './checkpoint.js';
import { createClient, endClient, READER_NAME } from './leader-lease.js';
import { PgOutputDecoder, statusUpdate } from './pgoutput.js';

/** Reading pauses above these limits and resumes below half of them. They bound memory while Kafka is slow or down. */
const BUFFER_LIMITS = { changes: 20_000, bytes: 16 * 1024 * 1024 };

/** The part of pg's connection that a Submittable may use. */
interface Wire {
  query(sql: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  readonly stream: { pause(): void; resume(): void };
}

/**
 * One connection to a logical replication slot. Received changes wait in a bounded buffer. Only positions passed to {@link confirm} are
 * confirmed to the server, also in answers to its keep-alives: the slot never moves past what is stored. Each connection needs a new
 * instance.
 */
export class ReplicationStream implements Submittable {
  private readonly client: Client;
  private readonly decoder = new PgOutputDecoder();
  private readonly checkpoint = new Checkpoint<bigint>();
  private buffer: Change[] = [];
  private bufferedBytes = 0;
  /** Transaction of the change that is received next. */
  private xid = 0;
  /** Transactions of which changes were received since {@link takeTransactions}, in the order of their commits. */
  private xids: number[] = [];
  private paused = false;
  private confirmed = 0n;
  private receivedAt = 0;
  private ended: Error | undefined;
  private isInterrupted = false;
  /** Time of the last batch with changes, as `performance.now()`. */
  private takenAt = -Infinity;
  private wake: () => void = () => undefined;
  private wire: Wire | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    settings: DatabaseSettings,
    private readonly slot: string,
    private readonly publication: string,
    private readonly timings: SyncTimings,
  ) {
    const replication = { replication: 'database' } as object;
    this.client = createClient(settings, READER_NAME, timings, { wal_sender_timeout: timings.senderTimeoutMs }, replication);
    this.client.on('error', (error) => this.end(error));
    this.client.on('end', () => this.end(new Error('The replication connection was closed')));
  }

  /** Position before which everything is published, or undefined before the first publication. */
  get position(): bigint | undefined {
    return this.checkpoint.position;
  }

  /** @throws the error that PostgreSQL sends: insufficient privilege without the REPLICATION attribute, too many connections if all max_wal_senders are in use. */
  async connect(): Promise<void> {
    await this.client.connect();
  }

  /** Starts the stream. {@link next} returns what is received, or throws if another process reads the slot or there is none. */
  start(): void {
    this.receivedAt = Date.now();
    this.client.query(this);
    // Five times as often as needed, also while Kafka is down and nothing can be confirmed.
    this.timer = setInterval(() => this.requestKeepAlive(), this.timings.senderTimeoutMs / 5);
  }

  /** Process ID of the server process that reads the slot for this connection, as in pg_replication_slots.active_pid. */
  get pid(): number {
    return (this.client as unknown as { processID: number }).processID;
  }

  /** How long (ms) nothing was received although keep-alives are requested. 0 while reading is paused, which causes the silence. */
  get silentMs(): number {
    return this.paused ? 0 : Date.now() - this.receivedAt;
  }

  /**
   * Returns the next changes, within BATCH's limits, or none if none was received within `waitMs` or {@link interrupt} was called.
   * A small batch costs as much as a large one, so changes gather for `gatherMs` after the last batch, unless they fill one. A change that comes
   * later than that is returned at once. Throws when the connection has ended and the buffer is empty.
   */
  async next(waitMs: number): Promise<readonly Change[]> {
    await this.waitUntil(() => this.hasFullBatch, this.takenAt + this.timings.gatherMs - performance.now());
    await this.waitUntil(() => this.buffer.length > 0, waitMs);
    if (this.buffer.length === 0 && this.ended) throw this.ended;
    return this.take();
  }

  /** Returns the transactions of all changes that were received since the last call, as 32-bit IDs. */
  takeTransactions(): number[] {
    return this.xids.splice(0);
  }

  /** Makes {@link next} return without waiting, from now on. */
  interrupt(): void {
    this.isInterrupted = true;
    this.wake();
  }

  /** Number of changes that are received and not taken. */
  get buffered(): number {
    return this.buffer.length;
  }

  published(count: number): void {
    this.checkpoint.publish(count);
  }

  /** Tells the server that it may discard what is before `lsn`. */
  confirm(lsn: bigint): void {
    this.confirmed = lsn;
    this.requestKeepAlive();
  }

  /** Requests a keep-alive, which says how far the server has read. */
  requestKeepAlive(): void {
    if (!this.ended) this.wire?.sendCopyFromChunk(statusUpdate(this.confirmed));
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.resume();
    await endClient(this.client, this.timings);
  }

  submit(connection: unknown): void {
    this.wire = connection as Wire;
    this.wire.query(`START_REPLICATION SLOT "${this.slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${this.publication}"')`);
  }

  /** Called by pg for every CopyData message. Must not throw: an error would be lost in the socket's handler. */
  handleCopyData(message: { chunk: Buffer }): void {
    try {
      this.receive(message.chunk);
    } catch (error) {
      this.end(error as Error);
    }
  }

  handleError(error: Error): void {
    this.end(error);
  }

  handleCommandComplete(): void {
    this.end(new Error('The server ended the replication stream'));
  }

  handleReadyForQuery(): void {
    this.end(new Error('The server ended the replication stream'));
  }

  private receive(data: Buffer): void {
    this.receivedAt = Date.now();
    const message = this.decoder.decode(data);
    switch (message?.kind) {
      case 'begin':
        this.checkpoint.begin();
        this.xid = message.xid;
        break;
      case 'change':
        this.checkpoint.receive();
        if (this.xids.at(-1) !== this.xid) this.xids.push(this.xid);
        this.buffer.push(message.change);
        this.bufferedBytes += message.change.event.length;
        this.wake();
        if (this.buffer.length >= BUFFER_LIMITS.changes || this.bufferedBytes >= BUFFER_LIMITS.bytes) this.pause();
        break;
      case 'commit':
        this.checkpoint.commit(message.end);
        break;
      case 'keepAlive':
        this.checkpoint.keepAlive(message.end);
        if (message.replyNow) this.requestKeepAlive();
        break;
      case undefined:
        break;
    }
  }

  private get hasFullBatch(): boolean {
    return this.buffer.length >= BATCH.changes || this.bufferedBytes >= BATCH.bytes;
  }

  /** Waits until `condition` holds, `waitMs` have passed, or the connection has ended or was interrupted. */
  private async waitUntil(condition: () => boolean, waitMs: number): Promise<void> {
    const isOver = (): boolean => condition() || this.ended !== undefined || this.isInterrupted;
    if (waitMs <= 0 || isOver()) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = () => {
        if (isOver()) resolve();
      };
      timer = setTimeout(resolve, waitMs);
    });
    clearTimeout(timer);
  }

  private take(): readonly Change[] {
    let count = 0;
    let bytes = 0;
    for (const change of this.buffer) {
      bytes += change.event.length;
      if (count > 0 && (count === BATCH.changes || bytes > BATCH.bytes)) break;
      count += 1;
      this.bufferedBytes -= change.event.length;
    }
    const changes = this.buffer.splice(0, count);
    if (count > 0) this.takenAt = performance.now();
    if (this.buffer.length < BUFFER_LIMITS.changes / 2 && this.bufferedBytes < BUFFER_LIMITS.bytes / 2) this.resume();
    return changes;
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.wire?.stream.pause();
  }

  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.receivedAt = Date.now();
    this.wire?.stream.resume();
  }

  private end(error: Error): void {
    this.ended ??= error;
    clearInterval(this.timer);
    this.wake();
  }
}

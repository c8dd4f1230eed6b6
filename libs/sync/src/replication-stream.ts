import type { Client, Submittable } from 'pg';
import { BATCH, type Change } from '#change-log';
import type { DatabaseSettings } from '#config';
import { Checkpoint } from './checkpoint.js';
import { clientOf, endClient, READER_NAME } from './leader-lease.js';
import { PgOutputDecoder, statusUpdate } from './pgoutput.js';

/** The server ends a stream whose reader it has not heard of for so long, ms. */
const SENDER_TIMEOUT_MS = 10_000;
/** Reading pauses above, resumes below half. Bounds memory while Kafka is slow or down. */
const BUFFERED = { changes: 20_000, bytes: 16 * 1024 * 1024 };

/** The part of pg's connection that a Submittable may use. */
interface Wire {
  query(sql: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  readonly stream: { pause(): void; resume(): void };
}

/**
 * One connection to a logical replication slot. What is received waits in a bounded buffer; what is confirmed to the server is
 * only ever what {@link confirm} was told, also in answers to its keep-alives: the slot never moves past what is stored.
 * A new instance for each connection.
 */
export class ReplicationStream implements Submittable {
  private readonly client: Client;
  private readonly decoder = new PgOutputDecoder();
  private readonly checkpoint = new Checkpoint<bigint>();
  private buffer: Change[] = [];
  private bufferedBytes = 0;
  private paused = false;
  private confirmed = 0n;
  private heardAt = 0;
  private ended: Error | undefined;
  private wake: () => void = () => undefined;
  private wire: Wire | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    settings: DatabaseSettings,
    private readonly slot: string,
    private readonly publication: string,
    private readonly senderTimeoutMs = SENDER_TIMEOUT_MS,
  ) {
    const replication = { replication: 'database' } as object;
    this.client = clientOf(settings, READER_NAME, { wal_sender_timeout: senderTimeoutMs }, replication);
    this.client.on('error', (error) => this.end(error));
    this.client.on('end', () => this.end(new Error('The replication connection was closed')));
  }

  /** Everything before this place is published; undefined until something is. */
  get position(): bigint | undefined {
    return this.checkpoint.position;
  }

  /** @throws what PostgreSQL answers: 42501 without the REPLICATION attribute, 53300 when max_wal_senders are in use. */
  async connect(): Promise<void> {
    await this.client.connect();
  }

  /** What comes, or why nothing does (55006: another process reads the slot, 42704: there is none), is told by {@link next}. */
  start(): void {
    this.heardAt = Date.now();
    this.client.query(this);
    // Five times as often as needed, also while Kafka is down and nothing can be confirmed.
    this.timer = setInterval(() => this.askForKeepAlive(), this.senderTimeoutMs / 5);
  }

  /** The server process that reads the slot for us, as pg_replication_slots.active_pid shows it. */
  get pid(): number {
    return (this.client as unknown as { processID: number }).processID;
  }

  /** How long nothing came although we ask all the time, ms. 0 while reading is paused: then the silence is our own doing. */
  get silentMs(): number {
    return this.paused ? 0 : Date.now() - this.heardAt;
  }

  /**
   * The next changes, within BATCH's limits; none when none came within `waitMs` or {@link interrupt} was called.
   * Throws when the connection is over and the buffer empty.
   */
  async next(waitMs: number): Promise<readonly Change[]> {
    if (this.buffer.length === 0 && !this.ended) await this.arrival(waitMs);
    if (this.buffer.length === 0 && this.ended) throw this.ended;
    return this.take();
  }

  /** Makes a waiting {@link next} return. */
  interrupt(): void {
    this.wake();
  }

  /** Changes received and not taken. */
  get buffered(): number {
    return this.buffer.length;
  }

  published(count: number): void {
    this.checkpoint.publish(count);
  }

  /** Tells the server that it may forget what is before `lsn`. */
  confirm(lsn: bigint): void {
    this.confirmed = lsn;
    this.askForKeepAlive();
  }

  /** The server answers at once with how far it has read. */
  askForKeepAlive(): void {
    if (!this.ended) this.wire?.sendCopyFromChunk(statusUpdate(this.confirmed));
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.resume();
    await endClient(this.client);
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
    this.heardAt = Date.now();
    const message = this.decoder.decode(data);
    switch (message?.kind) {
      case 'begin':
        this.checkpoint.begin();
        break;
      case 'change':
        this.checkpoint.receive();
        this.buffer.push(message.change);
        this.bufferedBytes += message.change.event.length;
        if (this.buffer.length === 1) this.wake();
        if (this.buffer.length >= BUFFERED.changes || this.bufferedBytes >= BUFFERED.bytes) this.pause();
        break;
      case 'commit':
        this.checkpoint.commit(message.end);
        break;
      case 'keepAlive':
        this.checkpoint.keepAlive(message.end);
        if (message.replyNow) this.askForKeepAlive();
        break;
      case undefined:
        break;
    }
  }

  private async arrival(waitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
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
    if (this.buffer.length < BUFFERED.changes / 2 && this.bufferedBytes < BUFFERED.bytes / 2) this.resume();
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
    this.heardAt = Date.now();
    this.wire?.stream.resume();
  }

  private end(error: Error): void {
    this.ended ??= error;
    clearInterval(this.timer);
    this.wake();
  }
}

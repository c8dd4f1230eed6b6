import { Client, type Submittable } from 'pg';
import type { DatabaseSettings } from '#config';
import { APPLICATION_NAME } from '#databases';
import { BATCH, type Change } from './change.js';
import { Checkpoint } from './checkpoint.js';
import { PgOutputDecoder, statusUpdate } from './pgoutput.js';

/** Well inside wal_sender_timeout (60 s), also while Kafka is down and nothing can be confirmed. */
const STATUS_EVERY_MS = 5_000;
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
  private ended: Error | undefined;
  private wake: () => void = () => undefined;
  private wire: Wire | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    settings: DatabaseSettings,
    private readonly slot: string,
    private readonly publication: string,
  ) {
    this.client = new Client({
      ...settings,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      application_name: `${APPLICATION_NAME}-capture`,
      replication: 'database',
    } as ConstructorParameters<typeof Client>[0]);
  }

  /** Everything before this place is published; undefined until something is. */
  get position(): bigint | undefined {
    return this.checkpoint.position;
  }

  /** @throws what PostgreSQL answers: 55006 when another process reads the slot, 42704 when there is none. */
  async open(): Promise<void> {
    this.client.on('error', (error) => this.end(error));
    this.client.on('end', () => this.end(new Error('The replication connection was closed')));
    await this.client.connect();
    this.client.query(this);
    this.timer = setInterval(() => this.sendStatus(), STATUS_EVERY_MS);
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
    this.sendStatus();
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.resume();
    await this.client.end();
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
        if (message.replyNow) this.sendStatus();
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

  private sendStatus(): void {
    if (!this.ended) this.wire?.sendCopyFromChunk(statusUpdate(this.confirmed));
  }

  private pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.wire?.stream.pause();
  }

  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.wire?.stream.resume();
  }

  private end(error: Error): void {
    this.ended ??= error;
    clearInterval(this.timer);
    this.wake();
  }
}

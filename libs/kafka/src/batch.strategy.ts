import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { KafkaContext, type KafkaOptions, ServerKafka } from '@nestjs/microservices';
import type { Consumer } from 'kafkajs';
import { isObservable, lastValueFrom } from 'rxjs';
import { withDisconnectTimeout } from './client.js';
import { type BatchLimits, type PartitionBatch, PartitionWorkers } from './partition-worker.js';

const RETRY_MS = { first: 100, longest: 5_000 };
/** One that crashes as soon as it runs must not keep the brokers busy. */
const RECONNECT_MS = 500;

interface BatchStrategyOptions {
  readonly kafka: NonNullable<KafkaOptions['options']>;
  readonly topic: string;
  /** The pattern of the handler that gets the batches. */
  readonly pattern: string;
  /** Of what a handler gets at once. */
  readonly limits: BatchLimits;
  /** Partitions handled at the same time. */
  readonly concurrency: number;
  /** Of which the handler takes long, and which are handled beside those. */
  readonly maxSlowBatches: number;
  /** What a person has to mend before a handler that failed so can succeed; undefined when it may by itself. */
  readonly remedyFor: (error: unknown) => string | undefined;
  /** Awaited before the consumer subscribes: a subscription to a topic that does not exist fails for good. */
  readonly prepare: () => Promise<void>;
}

/**
 * Nest's Kafka server, a partition's batch at a time: the handler gets a {@link PartitionBatch}.
 *
 * - The offset is committed after the handler has resolved, and only then: at least once.
 * - A handler that rejects is called again with the records from the same offset on, for ever, with backoff; one that is slow delays
 *   its own partition alone. The group keeps its member all the while. What can't succeed is the handler's to put aside. Where a
 *   person has to mend something the role counts as stopped, and looks again every 5 s: it goes on by itself.
 * - Batches of one partition are handled one after another, in the order of their offsets. See {@link PartitionWorkers}.
 */
export class BatchStrategy extends ServerKafka {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private closed: Promise<void> | undefined;
  private connecting: Promise<void> = Promise.resolve();
  private isConnecting = false;
  readonly partitions: PartitionWorkers;

  constructor(private readonly settings: BatchStrategyOptions) {
    super({ ...settings.kafka, postfixId: '' });
    this.partitions = new PartitionWorkers({ ...settings, handle: (batch) => this.callHandler(batch) });
  }

  /** Connects in the background and for as long as it takes: a process starts without Kafka, too. */
  override async listen(callback: (error?: unknown, ...rest: unknown[]) => void): Promise<void> {
    callback();
    this.connecting = this.connect();
    return Promise.resolve();
  }

  override async bindEvents(consumer: Consumer): Promise<void> {
    const isMine = (): boolean => consumer === this.consumer;
    const assign = (partitions?: readonly number[]): void => {
      if (isMine()) this.partitions.assign(partitions);
      // One that was given up while it started would keep its partitions from everybody.
      else if (partitions) void consumer.disconnect().catch(() => undefined);
    };
    // The consumer is dead and the process is not: start over.
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      this.connecting = this.connecting.then(() => this.reconnect(consumer, payload.error.message));
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => assign(payload.memberAssignment[this.settings.topic] ?? []));
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      // Nothing but records of aborted transactions and their marks.
      if (payload.batchSize === 0) this.partitions.readTo.set(payload.partition, Number(payload.lastOffset) + 1);
    });
    consumer.on(consumer.events.DISCONNECT, () => assign());
    consumer.on(consumer.events.STOP, () => assign());
    // From the beginning: with the default, a group without a committed offset silently skips what is there.
    await consumer.subscribe({ topics: [this.settings.topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: this.settings.concurrency,
      eachBatch: async (payload) => {
        if (isMine()) await this.partitions.take(payload);
        else payload.pause();
      },
    });
  }

  /** The partitions that this member has. @throws Error when it is in no group, or a partition waits after an error. */
  report(): { readonly partitions: readonly number[] } {
    const { assigned, failure } = this.partitions;
    if (failure) throw new Error(this.stopped ? `stopped: ${this.stopped}` : failure.why);
    if (!assigned) throw new Error('joining the consumer group');
    return { partitions: assigned };
  }

  /** Why, and what to do, when nothing is applied before a person mends something. */
  get stopped(): string | undefined {
    const { failure } = this.partitions;
    return failure?.remedy === undefined ? undefined : `${failure.why}. To go on: ${failure.remedy}.`;
  }

  /** Leaves the consumer as it is and begins with a new one. @throws Error while that is under way already. */
  async restart(): Promise<void> {
    if (this.isConnecting) throw new Error('it is connecting to Kafka');
    await (this.connecting = this.reconnect(this.consumer, 'it was behind and got nothing done'));
  }

  /** Finishes and commits the batches in hand and leaves the group, so that others have its partitions at once. */
  override close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async connect(): Promise<void> {
    const { signal } = this.stopping;
    this.isConnecting = true;
    for (let pause = RETRY_MS.first; !signal.aborted; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        await this.settings.prepare();
        if (signal.aborted) break;
        await super.listen((error?: unknown) => {
          if (error) throw error as Error;
        });
        break;
      } catch (error) {
        const wait = Math.round(pause * (0.5 + Math.random() / 2));
        this.log.error(`The replica can't read Kafka: ${(error as Error).message}. Trying again in ${wait} ms.`);
        await this.disconnect();
        await delay(wait, undefined, { signal }).catch(() => undefined);
      }
    }
    this.isConnecting = false;
  }

  private async reconnect(dead: Consumer | null, why: string): Promise<void> {
    if (this.stopping.signal.aborted || dead !== this.consumer) return;
    this.log.error(`The Kafka consumer stopped: ${why}. Connecting again.`);
    this.isConnecting = true;
    await this.disconnect();
    await delay(RECONNECT_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    await this.connect();
  }

  /** A client that hangs is left behind: nothing that it may still read is handled. */
  private async disconnect(): Promise<void> {
    const { consumer, producer } = this;
    this.consumer = null;
    this.producer = null;
    this.client = null;
    this.partitions.assign(undefined);
    const leaving = Promise.all([consumer?.disconnect(), producer?.disconnect()]);
    await withDisconnectTimeout(leaving, AbortSignal.abort()).catch(() => undefined);
  }

  private async shutDown(): Promise<void> {
    this.stopping.abort();
    // First what is in hand: it commits its offsets as a member of the group.
    const finished = this.partitions.stop();
    const leaving = finished.then(() => this.connecting).then(() => super.close());
    leaving.catch(() => undefined);
    await finished;
    // A group without Kafka can't be left.
    await withDisconnectTimeout(leaving, this.stopping.signal).catch((error: unknown) => {
      this.log.warn(`The consumer group was not left: ${(error as Error).message}. It notices when the session times out.`);
    });
  }

  private async callHandler(batch: PartitionBatch): Promise<void> {
    const handler = this.getHandlerByPattern(this.settings.pattern);
    if (!handler) throw new Error(`No handler for ${this.settings.pattern}`);
    const context = new KafkaContext([
      batch.messages[0]!,
      batch.partition,
      batch.topic,
      this.consumer!,
      () => Promise.resolve(),
      this.producer!,
    ]);
    const result: unknown = await handler(batch, context);
    if (isObservable(result)) await lastValueFrom(result, { defaultValue: undefined });
  }
}

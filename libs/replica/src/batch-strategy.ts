import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { KafkaContext, ServerKafka, type KafkaOptions } from '@nestjs/microservices';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { isObservable, lastValueFrom } from 'rxjs';
import type { PartitionBatch } from './partition-batch.js';

/** kafkajs sends at most one per heartbeatInterval, however often it is asked. */
const HEARTBEAT_MS = 1_000;
const RETRY_MS = { first: 100, longest: 10_000 };

export interface BatchStrategyOptions {
  readonly kafka: NonNullable<KafkaOptions['options']>;
  readonly topic: string;
  /** The pattern of the handler that gets the batches. */
  readonly pattern: string;
  /** Records of one partition that a handler gets at once. */
  readonly batchSize: number;
  /** Partitions handled at the same time. */
  readonly concurrency: number;
  /** Awaited before the consumer subscribes: a subscription to a topic that does not exist fails for good. */
  readonly prepare: () => Promise<void>;
}

/**
 * Nest's Kafka server, a partition's batch at a time: the handler gets a {@link PartitionBatch}.
 *
 * - The offset is committed after the handler has resolved, and only then: at least once.
 * - A handler that rejects is called again with the same batch, for ever, with backoff and heartbeats, so the group keeps its
 *   member and other partitions go on. What can't succeed is the handler's to put aside.
 * - Batches of one partition are handled one after another, in the order of their offsets.
 */
export class BatchStrategy extends ServerKafka {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private closed: Promise<void> | undefined;
  private connecting: Promise<void> = Promise.resolve();
  private assigned: number[] | undefined;
  /** Partitions whose batch failed last time, with why. */
  private readonly stuck = new Map<number, string>();

  constructor(private readonly settings: BatchStrategyOptions) {
    super({ ...settings.kafka, postfixId: '' });
  }

  /** Connects in the background and for as long as it takes: a process starts without Kafka, too. */
  override async listen(callback: (error?: unknown, ...rest: unknown[]) => void): Promise<void> {
    callback();
    this.connecting = this.connect();
    return Promise.resolve();
  }

  override async bindEvents(consumer: Consumer): Promise<void> {
    // After an error that kafkajs does not retry, the consumer is dead and the process is not: start over.
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart && !this.stopping.signal.aborted) this.connecting = this.reconnect(payload.error);
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      this.assigned = [...(payload.memberAssignment[this.settings.topic] ?? [])].sort((a, b) => a - b);
      this.stuck.clear();
    });
    consumer.on(consumer.events.DISCONNECT, () => (this.assigned = undefined));
    consumer.on(consumer.events.STOP, () => (this.assigned = undefined));
    // From the beginning: with the default, a group without a committed offset silently skips what is there.
    await consumer.subscribe({ topics: [this.settings.topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: this.settings.concurrency,
      eachBatch: (payload) => this.onBatch(payload),
    });
  }

  /** The partitions that this member has. @throws Error when it is in no group, or a partition waits after an error. */
  report(): { readonly partitions: readonly number[] } {
    const [waits] = this.stuck.values();
    if (waits !== undefined) throw new Error(waits);
    if (!this.assigned) throw new Error('joining the consumer group');
    return { partitions: this.assigned };
  }

  override close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async connect(): Promise<void> {
    const { signal } = this.stopping;
    for (let pause = RETRY_MS.first; !signal.aborted; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        await this.settings.prepare();
        if (signal.aborted) return;
        await super.listen((error?: unknown) => {
          if (error) throw error as Error;
        });
        return;
      } catch (error) {
        this.log.error(`The replica can't read Kafka: ${(error as Error).message}. Trying again in ${pause} ms.`);
        await super.close().catch(() => undefined);
        await delay(pause, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private async reconnect(error: Error): Promise<void> {
    this.log.error(`The Kafka consumer stopped: ${error.message}. Connecting again.`);
    await super.close().catch(() => undefined);
    await this.connect();
  }

  private async shutDown(): Promise<void> {
    this.stopping.abort();
    await this.connecting;
    await super.close();
  }

  private async onBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    for (let from = 0; from < messages.length; from += this.settings.batchSize) {
      const part = messages.slice(from, from + this.settings.batchSize);
      if (!payload.isRunning() || payload.isStale() || this.stopping.signal.aborted) return;
      if (!(await this.handle({ topic, partition, messages: part }, payload))) return;
      const last = part.at(-1)!.offset;
      payload.resolveOffset(last);
      await payload.commitOffsetsIfNecessary({
        topics: [{ topic, partitions: [{ partition, offset: String(BigInt(last) + 1n) }] }],
      });
      await payload.heartbeat();
    }
  }

  /** @returns whether the batch is done; false when the process stops or the partition was taken away. */
  private async handle(batch: PartitionBatch, payload: EachBatchPayload): Promise<boolean> {
    const { signal } = this.stopping;
    for (let pause = RETRY_MS.first; !signal.aborted; pause = Math.min(pause * 2, RETRY_MS.longest)) {
      try {
        await this.withHeartbeats(payload, this.callHandler(batch));
        this.stuck.delete(batch.partition);
        return true;
      } catch (error) {
        const waits = `partition ${batch.partition} waits at offset ${batch.messages[0]!.offset}: ${(error as Error).message}`;
        this.stuck.set(batch.partition, waits);
        this.log.error(`In the replica ${waits}. Trying again in ${pause} ms.`);
      }
      await this.withHeartbeats(
        payload,
        delay(pause, undefined, { signal }).catch(() => undefined),
      );
      if (!payload.isRunning() || payload.isStale()) return false;
    }
    return false;
  }

  /** kafkajs sends heartbeats only when asked to: without them a slow database would cost the partition. */
  private async withHeartbeats<T>(payload: EachBatchPayload, work: Promise<T>): Promise<T> {
    // A failed heartbeat means a rebalance: the work in hand is finished all the same, the guard makes that harmless.
    const timer = setInterval(() => void payload.heartbeat().catch(() => undefined), HEARTBEAT_MS);
    try {
      return await work;
    } finally {
      clearInterval(timer);
    }
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

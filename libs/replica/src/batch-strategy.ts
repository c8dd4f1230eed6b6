import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { KafkaContext, ServerKafka, type KafkaOptions } from '@nestjs/microservices';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { isObservable, lastValueFrom } from 'rxjs';
import { unlessLeftBehind } from '#kafka';
import { divideBatch, type BatchLimits } from './divide-batch.js';
import type { PartitionBatch } from './partition-batch.js';

/** kafkajs sends at most one per heartbeatInterval, however often it is asked. */
const HEARTBEAT_MS = 1_000;
const RETRY_MS = { first: 100, longest: 10_000 };
/** How often a stopped role looks whether it was mended. */
const STOPPED_RETRY_MS = 5_000;

export interface BatchStrategyOptions {
  readonly kafka: NonNullable<KafkaOptions['options']>;
  readonly topic: string;
  /** The pattern of the handler that gets the batches. */
  readonly pattern: string;
  /** Of what a handler gets at once. */
  readonly limits: BatchLimits;
  /** Partitions handled at the same time. */
  readonly concurrency: number;
  /** What a person has to mend before a handler that failed so can succeed; undefined when it may by itself. */
  readonly remedyFor: (error: unknown) => string | undefined;
  /** Awaited before the consumer subscribes: a subscription to a topic that does not exist fails for good. */
  readonly prepare: () => Promise<void>;
}

/**
 * Nest's Kafka server, a partition's batch at a time: the handler gets a {@link PartitionBatch}.
 *
 * - The offset is committed after the handler has resolved, and only then: at least once.
 * - A handler that rejects is called again with the same batch, for ever, with backoff and heartbeats, so the group keeps its
 *   member and other partitions go on. What can't succeed is the handler's to put aside. Where a person has to mend something the
 *   role counts as stopped, and looks again every 5 s: it goes on by itself.
 * - Batches of one partition are handled one after another, in the order of their offsets.
 */
export class BatchStrategy extends ServerKafka {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private closed: Promise<void> | undefined;
  private connecting: Promise<void> = Promise.resolve();
  private assigned: number[] | undefined;
  private readonly inHand = new Set<Promise<void>>();
  /** Partitions whose batch failed last time, with why, and what a person has to do about it. */
  private readonly stuck = new Map<number, { readonly why: string; readonly remedy: string | undefined }>();

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
      eachBatch: (payload) => this.track(this.onBatch(payload)),
    });
  }

  /** The partitions that this member has. @throws Error when it is in no group, or a partition waits after an error. */
  report(): { readonly partitions: readonly number[] } {
    const [waits] = this.stuck.values();
    if (waits) throw new Error(this.stopped ? `stopped: ${this.stopped}` : waits.why);
    if (!this.assigned) throw new Error('joining the consumer group');
    return { partitions: this.assigned };
  }

  /** Why, and what to do, when nothing is applied before a person mends something. */
  get stopped(): string | undefined {
    const found = [...this.stuck.values()].find(({ remedy }) => remedy !== undefined);
    return found && `${found.why}. To go on: ${found.remedy}.`;
  }

  /** Finishes and commits the batches in hand and leaves the group, so that others have its partitions at once. */
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
    // Leaving the group waits for what is in hand as well, but a group without Kafka can't be left.
    const leaving = this.connecting.then(() => super.close());
    leaving.catch(() => undefined);
    await Promise.allSettled(this.inHand);
    await unlessLeftBehind(leaving, this.stopping.signal).catch((error: unknown) => {
      this.log.warn(`The consumer group was not left: ${(error as Error).message}. It notices when the session times out.`);
    });
  }

  private track(work: Promise<void>): Promise<void> {
    this.inHand.add(work);
    return work.finally(() => this.inHand.delete(work));
  }

  private async onBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    for (const part of divideBatch(messages, this.settings.limits)) {
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
        if (this.stopped) this.log.log('The replica goes on');
        this.stuck.delete(batch.partition);
        return true;
      } catch (error) {
        const remedy = this.noteFailure(batch, error as Error);
        const wait = remedy === undefined ? pause * (0.5 + Math.random() / 2) : STOPPED_RETRY_MS;
        await this.withHeartbeats(
          payload,
          delay(wait, undefined, { signal }).catch(() => undefined),
        );
      }
      if (!payload.isRunning() || payload.isStale()) return false;
    }
    return false;
  }

  /** @returns what a person has to do. */
  private noteFailure({ partition, messages }: PartitionBatch, error: Error): string | undefined {
    const remedy = this.settings.remedyFor(error);
    const why = `partition ${partition} waits at offset ${messages[0]!.offset}: ${error.message}`;
    const wasStopped = this.stopped !== undefined;
    this.stuck.set(partition, { why, remedy });
    if (remedy === undefined) this.log.error(`In the replica ${why}. It is tried again.`);
    else if (!wasStopped) this.log.fatal(`The replica is stopped: ${this.stopped}`);
    return remedy;
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

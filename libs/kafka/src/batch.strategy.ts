import { Logger } from '@nestjs/common';
import { KafkaContext, type KafkaOptions, type MessageHandler, ServerKafka } from '@nestjs/microservices';
import type { Consumer } from 'kafkajs';
import { isObservable, lastValueFrom } from 'rxjs';
import { type KafkaTimings, retry, sleep } from '#config';
import { withDisconnectTimeout } from './client.js';
import { type PartitionBatch, PartitionWorkers } from './partition-worker.js';
import type { BatchLimits } from './split-batch.js';

interface BatchStrategyOptions {
  readonly kafka: NonNullable<KafkaOptions['options']>;
  readonly topic: string;
  /** The pattern of the handler that gets the batches. */
  readonly pattern: string;
  /** Maximum size of the batch that the handler gets. */
  readonly limits: BatchLimits;
  /** Number of partitions that are handled at the same time. */
  readonly concurrency: number;
  /** Maximum number of slow batches processed in addition to `concurrency`. */
  readonly maxSlowBatches: number;
  /** Returns what an operator has to do before the handler can succeed, or undefined when it may succeed by itself. */
  readonly remedyFor: (error: unknown) => string | undefined;
  /** Awaited before the consumer subscribes: a subscription to a topic that does not exist fails for good. */
  readonly prepare: () => Promise<void>;
  /** Returns what is wrong, with what to do where a setting has to be corrected. */
  readonly explain: (error: Error) => string;
  readonly timings: KafkaTimings;
}

/**
 * Nest's Kafka server, one batch of a partition at a time: the handler gets a {@link PartitionBatch}.
 *
 * - The offset is committed after the handler has resolved, and never before: delivery is at least once.
 * - A handler that rejects is called again with the records from the same offset on, for ever, with backoff. A slow one delays only
 *   its own partition. The group keeps this member meanwhile. The handler itself has to dead-letter records that cannot succeed. Where
 *   an operator has to repair something, the role counts as stopped and tries again every `stoppedRetryMs` (5 s), so that it recovers
 *   by itself.
 * - Batches of one partition are handled one after another, in the order of their offsets. See {@link PartitionWorkers}.
 */
export class BatchStrategy extends ServerKafka {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private closed: Promise<void> | undefined;
  private connecting: Promise<void> = Promise.resolve();
  private isConnecting = false;
  /** Why the consumer failed, until one reads. */
  private failure: string | undefined;
  private handler: MessageHandler | null | undefined;
  readonly partitions: PartitionWorkers;

  constructor(private readonly settings: BatchStrategyOptions) {
    super({ ...settings.kafka, postfixId: '' });
    this.partitions = new PartitionWorkers({ ...settings, handle: (batch) => this.callHandler(batch) });
  }

  /** Connects in the background, for as long as it takes: a process also starts while Kafka is down. */
  override async listen(callback: (error?: unknown, ...rest: unknown[]) => void): Promise<void> {
    callback();
    this.connecting = this.connect();
    return Promise.resolve();
  }

  override async bindEvents(consumer: Consumer): Promise<void> {
    const isMine = (): boolean => consumer === this.consumer;
    const assign = (partitions?: readonly number[]): void => {
      if (isMine()) this.partitions.assign(partitions);
      // A consumer that was abandoned while it started would keep its partitions from all other members.
      else if (partitions) void consumer.disconnect().catch(() => undefined);
    };
    // The consumer has ended and the process has not: replace it.
    consumer.on(consumer.events.CRASH, ({ payload: { error } }) => {
      const level = isCoordinatorLoading(error) ? 'debug' : 'error';
      this.connecting = this.connecting.then(() => this.reconnect(consumer, this.settings.explain(error), level));
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const partitions = payload.memberAssignment[this.settings.topic] ?? [];
      assign(partitions);
      if (isMine() && partitions.length === 0) this.failure = undefined;
    });
    // Only now it is known that the member may read: a member of the group may lack the right to read the topic.
    consumer.on(consumer.events.FETCH, () => {
      if (isMine()) this.failure = undefined;
    });
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      // The fetch held only records of aborted transactions and control records.
      if (payload.batchSize === 0) this.partitions.skippedTo.set(payload.partition, Number(payload.lastOffset) + 1);
    });
    consumer.on(consumer.events.DISCONNECT, () => assign());
    consumer.on(consumer.events.STOP, () => assign());
    // From the beginning: with the default, a group without a committed offset silently skips the existing records.
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

  /** Returns this member's partitions. @throws Error when it is not in the group, or a partition waits after an error. */
  report(): { readonly partitions: readonly number[] } {
    const { assigned, failure } = this.partitions;
    if (failure) throw new Error(this.stopped ? `stopped: ${this.stopped}` : failure.why);
    if (this.failure !== undefined) throw new Error(`it cannot read from Kafka: ${this.failure}`);
    if (!assigned) throw new Error('joining the consumer group');
    return { partitions: assigned };
  }

  /** The reason and the remedy while nothing is applied until an operator repairs something; undefined otherwise. */
  get stopped(): string | undefined {
    const { failure } = this.partitions;
    return failure?.remedy === undefined ? undefined : `${failure.why}. To go on: ${failure.remedy}.`;
  }

  /** Abandons the consumer and starts a new one. @throws Error while the consumer is connecting. */
  async restart(): Promise<void> {
    if (this.isConnecting) throw new Error('it is connecting to Kafka');
    await (this.connecting = this.reconnect(this.consumer, 'it lagged and made no progress'));
  }

  /** Finishes and commits the batches in flight and leaves the group, so that other members get the partitions at once. */
  override close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async connect(): Promise<void> {
    const { signal } = this.stopping;
    this.isConnecting = true;
    const attempt = async (): Promise<void> => {
      await this.settings.prepare();
      if (signal.aborted) return;
      await super.listen((error?: unknown) => {
        if (error) throw error as Error;
      });
    };
    const onFailure = async (error: Error, pauseMs: number): Promise<void> => {
      this.failure = this.settings.explain(error);
      this.log.error({
        code: 'replica-cannot-read',
        message: `The replica cannot read from Kafka: ${this.failure}. Trying again in ${pauseMs} ms.`,
      });
      await this.disconnect();
    };
    // Rejects only when the strategy is closed.
    await retry(attempt, { backoff: this.settings.timings.connectRetry, signal, onFailure }).catch(() => undefined);
    this.isConnecting = false;
  }

  private async reconnect(failed: Consumer | null, why: string, level: 'debug' | 'error' = 'error'): Promise<void> {
    if (this.stopping.signal.aborted || failed !== this.consumer) return;
    this.failure = why;
    this.log[level]({ code: 'consumer-stopped', message: `The Kafka consumer stopped: ${why}. Connecting again.` });
    this.isConnecting = true;
    await this.disconnect();
    // A consumer that crashes as soon as it runs must not keep the brokers busy.
    await sleep(this.settings.timings.reconnectDelayMs, this.stopping.signal);
    await this.connect();
  }

  /** Abandons a client that hangs: nothing that it may still read is handled. */
  private async disconnect(): Promise<void> {
    const { consumer, producer } = this;
    this.consumer = null;
    this.producer = null;
    this.client = null;
    this.partitions.assign(undefined);
    const leaving = Promise.all([consumer?.disconnect(), producer?.disconnect()]);
    await withDisconnectTimeout(leaving, AbortSignal.abort(), this.settings.timings.disconnectTimeoutMs).catch(() => undefined);
  }

  private async shutDown(): Promise<void> {
    this.stopping.abort();
    // First the batches in flight: they commit their offsets as a member of the group.
    const finished = this.partitions.stop();
    const leaving = finished
      .then(() => this.partitions.commit())
      .then(() => this.connecting)
      .then(() => super.close());
    leaving.catch(() => undefined);
    await finished;
    // The group cannot be left while Kafka is down.
    await withDisconnectTimeout(leaving, this.stopping.signal, this.settings.timings.disconnectTimeoutMs).catch((error: unknown) => {
      this.log.warn({
        code: 'group-not-left',
        message: `The consumer group was not left: ${(error as Error).message}. Its partitions are reassigned when the session times out.`,
      });
    });
  }

  private async callHandler(batch: PartitionBatch): Promise<void> {
    // Nest parses the pattern at each look-up, which took 3 % of the replica's CPU time where batches are small.
    const handler = (this.handler ??= this.getHandlerByPattern(this.settings.pattern));
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

/** Whether a broker has not read the group's offsets yet, which is normal for a moment after Kafka has started. */
function isCoordinatorLoading(error: Error): boolean {
  return 'type' in error && error.type === 'GROUP_LOAD_IN_PROGRESS';
}

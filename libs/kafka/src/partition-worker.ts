import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import { backoffMs, type KafkaTimings } from '#config';
import { type BatchLimits, splitBatch } from './split-batch.js';

/** Consecutive records of one partition, as a handler gets them. */
export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  /** In the order of their offsets; at least one. */
  readonly messages: readonly KafkaMessage[];
}

interface PartitionWorkersOptions {
  /** Maximum size of the batch that the handler gets. */
  readonly limits: BatchLimits;
  /** Maximum number of slow batches that continue in addition to those that kafkajs waits for. Each takes a connection of DB2's pool. */
  readonly maxSlowBatches: number;
  /** Returns what an operator has to do before the handler can succeed, or undefined when it may succeed by itself. */
  readonly remedyFor: (error: unknown) => string | undefined;
  readonly handle: (batch: PartitionBatch) => Promise<void>;
  readonly timings: KafkaTimings;
}

interface Failure {
  readonly why: string;
  readonly remedy: string | undefined;
  /** Number of failures in a row. */
  readonly times: number;
}

/**
 * Handles the batches of each partition, so that no partition waits for another.
 *
 * - Batches of one partition are handled one after another, in the order of their offsets. An offset is committed after the
 *   handler has resolved, and never before: within `commitIntervalMs`, with those of the other partitions. A commit for each batch would
 *   take a third of the time from DB1 to DB2 (ADR 39). What is handled and not committed when a member fails is handled again.
 * - A batch that takes longer than `fetchBlockMs` (1 s) continues in the background: its partition is paused until the batch is done,
 *   and kafkajs goes on with the other partitions and with its heartbeats. While it waits for a batch, kafkajs fetches nothing from
 *   that broker.
 * - A batch whose handler rejects is dropped and its partition paused. It is read again from the same offset after a pause that
 *   doubles up to 10 s (`batchRetry`), with jitter, for ever.
 */
export class PartitionWorkers {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private readonly inFlight = new Map<number, Promise<void>>();
  private readonly failures = new Map<number, Failure>();
  /** Number of records handled. */
  handled = 0;
  /** Per partition: next offset after records that kafkajs skipped (aborted transactions, control records). */
  readonly skippedTo = new Map<number, number>();
  /** Time of the last progress, as `performance.now()`. */
  private lastProgressAt = 0;
  private slow = 0;
  /** Per partition: the offset to be committed. */
  private uncommitted = new Map<number, string>();
  /** Any batch of the assignment can commit all offsets. */
  private lastBatch: EachBatchPayload | undefined;
  private commitTimer: NodeJS.Timeout | undefined;
  private mine: readonly number[] | undefined;

  constructor(private readonly options: PartitionWorkersOptions) {}

  /** The partitions assigned to this group member, in order; undefined while it is not in the group. */
  get assigned(): readonly number[] | undefined {
    return this.mine;
  }

  /** The failure that a partition waits after, if any, and its remedy. A failure with a remedy comes first. */
  get failure(): { readonly why: string; readonly remedy: string | undefined } | undefined {
    const failures = [...this.failures.values()];
    return failures.find(({ remedy }) => remedy !== undefined) ?? failures[0];
  }

  /**
   * Whether work is in flight and has made progress within `stalledAfterMs`. `lastProgressAt` is the handler's own last progress, as
   * `performance.now()`. DB2's statements are bounded (60 s) and retried, so work without progress for longer hangs.
   */
  isWaiting(lastProgressAt: number): boolean {
    const waits = this.inFlight.size > 0 || this.failures.size > 0;
    return waits && performance.now() - Math.max(this.lastProgressAt, lastProgressAt) < this.options.timings.stalledAfterMs;
  }

  /** Starts a new assignment. It begins at the group's committed offsets: another member may have handled what failed here. */
  assign(partitions: readonly number[] | undefined): void {
    this.mine = partitions && [...partitions].sort((a, b) => a - b);
    this.failures.clear();
    clearTimeout(this.commitTimer);
    this.commitTimer = undefined;
    this.uncommitted.clear();
  }

  /** Handles a batch, as kafkajs's `eachBatch`. Resolves within about `fetchBlockMs`, unless too many batches are slow. */
  async take(payload: EachBatchPayload): Promise<void> {
    const { partition } = payload.batch;
    if (this.stopping.signal.aborted) return void payload.pause();
    const previous = this.inFlight.get(partition);
    // A consumer that was restarted reads again what is still in flight.
    if (previous) return void previous.finally(payload.pause());
    let isDetached = false;
    const work = this.work(payload, () => isDetached);
    const done = work.then(
      () => undefined,
      () => undefined,
    );
    this.inFlight.set(
      partition,
      done.finally(() => this.inFlight.delete(partition)),
    );
    while (!(await this.isDoneInTime(done, payload))) {
      if (this.slow >= this.options.maxSlowBatches) continue;
      isDetached = true;
      this.slow += 1;
      const resume = payload.pause();
      void done.then(() => {
        this.slow -= 1;
        if (!this.failures.has(partition)) resume();
      });
      return;
    }
    await work;
  }

  /** Stops taking batches. Resolves when none is in flight. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.inFlight.values());
  }

  /**
   * Commits what was handled since the last commit. A commit that fails means a rebalance, or that Kafka is away, which kafkajs notices itself: it is
   * tried again while the assignment lasts, unless the process stops.
   */
  async commit(): Promise<void> {
    clearTimeout(this.commitTimer);
    this.commitTimer = undefined;
    const { uncommitted, mine, lastBatch } = this;
    if (uncommitted.size === 0 || !lastBatch) return;
    this.uncommitted = new Map();
    const partitions = [...uncommitted].map(([partition, offset]) => ({ partition, offset }));
    try {
      await lastBatch.commitOffsetsIfNecessary({ topics: [{ topic: lastBatch.batch.topic, partitions }] });
    } catch {
      if (this.mine !== mine || this.stopping.signal.aborted) return;
      this.uncommitted = new Map([...uncommitted, ...this.uncommitted]);
      this.commitLater();
    }
  }

  private commitLater(): void {
    this.commitTimer ??= setTimeout(() => void this.commit(), this.options.timings.commitIntervalMs);
  }

  private async work(payload: EachBatchPayload, isDetached: () => boolean): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    for (const part of splitBatch(messages, this.options.limits)) {
      if (isDetached() || !payload.isRunning() || payload.isStale() || this.stopping.signal.aborted) return;
      this.lastProgressAt = performance.now();
      try {
        await this.options.handle({ topic, partition, messages: part });
      } catch (error) {
        this.pauseAfterFailure(payload, part[0]!.offset, error as Error);
        return;
      }
      this.handled += part.length;
      this.noteSuccess(partition);
      this.noteHandled(payload, part.at(-1)!.offset);
    }
  }

  private noteHandled(payload: EachBatchPayload, last: string): void {
    const { partition } = payload.batch;
    // The partition was given to another member meanwhile, which starts at the last commit: the guard absorbs duplicates.
    if (!this.mine?.includes(partition)) return;
    payload.resolveOffset(last);
    this.uncommitted.set(partition, String(BigInt(last) + 1n));
    this.lastBatch = payload;
    this.commitLater();
  }

  /** Pauses the partition for a while. Its unresolved records are read again, by another member if the partition has moved meanwhile. */
  private pauseAfterFailure(payload: EachBatchPayload, offset: string, error: Error): void {
    const { partition } = payload.batch;
    this.lastProgressAt = performance.now();
    if (!this.mine?.includes(partition)) return;
    const remedy = this.options.remedyFor(error);
    const times = (this.failures.get(partition)?.times ?? 0) + 1;
    const why = `partition ${partition} waits at offset ${offset}: ${error.message}`;
    const wasStopped = this.failure?.remedy !== undefined;
    this.failures.set(partition, { why, remedy, times });
    if (remedy === undefined) this.log.error({ code: 'apply-retried', message: `In the replica, ${why}. It will be retried.` });
    else if (!wasStopped) this.log.fatal({ code: 'replica-stopped', message: `The replica is stopped: ${why}. To go on: ${remedy}.` });
    const { batchRetry, stoppedRetryMs } = this.options.timings;
    const pauseMs = remedy === undefined ? backoffMs(batchRetry, times) : stoppedRetryMs;
    const resume = payload.pause();
    void delay(pauseMs, undefined, { signal: this.stopping.signal }).then(resume, () => undefined);
  }

  private noteSuccess(partition: number): void {
    const wasStopped = this.failure?.remedy !== undefined;
    this.failures.delete(partition);
    if (wasStopped && this.failure?.remedy === undefined) this.log.log({ code: 'replica-continues', message: 'The replica continues' });
  }

  private async isDoneInTime(done: Promise<void>, payload: EachBatchPayload): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    // An abortable delay takes 3 % of the replica's CPU time where batches are small: each one makes an error.
    const timeout = new Promise<false>((resolve) => (timer = setTimeout(resolve, this.options.timings.fetchBlockMs, false)));
    const isDone = await Promise.race([done.then(() => true), timeout]);
    clearTimeout(timer);
    // kafkajs sends no heartbeats while it waits for a batch. One that fails means a rebalance, which kafkajs notices itself.
    if (!isDone) void payload.heartbeat().catch(() => undefined);
    return isDone;
  }
}

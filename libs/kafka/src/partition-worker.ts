import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import { type Backoff, backoffMs } from '#config';

/** So long a batch may keep kafkajs waiting, which reads no partition of a broker while it waits for one of them. */
const MAX_FETCH_BLOCK_MS = 1_000;
const RETRY: Backoff = { firstMs: 100, longestMs: 10_000, jitter: true };
/** Something in hand is asked of DB2, whose answers are bounded (60 s a statement), and then tried again. Beyond, it hangs. */
const STALLED_AFTER_MS = 90_000;
/** How often a stopped role looks whether it was mended. */
const STOPPED_RETRY_MS = 5_000;

/** Consecutive records of one partition, as a handler gets them. */
export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  /** In the order of their offsets, at least one. */
  readonly messages: readonly KafkaMessage[];
}

interface PartitionsOptions {
  /** Of what is handled at once. */
  readonly limits: BatchLimits;
  /** Slow batches that may go on beside those that kafkajs waits for: each takes a connection of DB2's pool. */
  readonly maxSlowBatches: number;
  /** What a person has to mend before a handler that failed so can succeed; undefined when it may by itself. */
  readonly remedyFor: (error: unknown) => string | undefined;
  readonly handle: (batch: PartitionBatch) => Promise<void>;
}

interface Failure {
  readonly why: string;
  readonly remedy: string | undefined;
  /** In a row. */
  readonly times: number;
}

/**
 * What happens to the batches of each partition, so that none of them waits for another's.
 *
 * - Batches of one partition are handled one after another, in the order of their offsets. An offset is committed after the
 *   handler has resolved, and only then.
 * - A batch that takes longer than a second goes on beside kafkajs: its partition is paused until it is done, and kafkajs goes on
 *   with the others and with its heartbeats.
 * - A batch whose handler rejects is dropped, and its partition paused: it is read again from the same offset after a pause that
 *   doubles up to 10 s, with jitter, for ever.
 */
export class PartitionWorkers {
  private readonly log = new Logger('replica');
  private readonly stopping = new AbortController();
  private readonly inHand = new Map<number, Promise<void>>();
  private readonly failures = new Map<number, Failure>();
  /** Records handled. */
  handled = 0;
  /** By partition: the offset after records of which nothing reached the handler. */
  readonly readTo = new Map<number, number>();
  private movedAt = 0;
  private slow = 0;
  private mine: readonly number[] | undefined;

  constructor(private readonly options: PartitionsOptions) {}

  /** Those that this member has, in order; undefined while it is in no group. */
  get assigned(): readonly number[] | undefined {
    return this.mine;
  }

  /** What waits after an error, if anything, and what a person has to do about it. */
  get failure(): { readonly why: string; readonly remedy: string | undefined } | undefined {
    const failures = [...this.failures.values()];
    return failures.find(({ remedy }) => remedy !== undefined) ?? failures[0];
  }

  /** Whether all that is in hand waits for DB2, and something of that moved lately. `movedAt`: elsewhere, as performance.now() has it. */
  isWaiting(movedAt: number): boolean {
    const waits = this.inHand.size > 0 || this.failures.size > 0;
    return waits && performance.now() - Math.max(this.movedAt, movedAt) < STALLED_AFTER_MS;
  }

  /** Each assignment begins at what the group has committed: what was refused before may have been done by another member. */
  assign(partitions: readonly number[] | undefined): void {
    this.mine = partitions && [...partitions].sort((a, b) => a - b);
    this.failures.clear();
  }

  /** For kafkajs's eachBatch. Resolves within about a second, unless too many batches are slow. */
  async take(payload: EachBatchPayload): Promise<void> {
    const { partition } = payload.batch;
    if (this.stopping.signal.aborted) return void payload.pause();
    const before = this.inHand.get(partition);
    // A consumer that was started anew reads what is still in hand.
    if (before) return void before.finally(payload.pause());
    let handedOver = false;
    const work = this.work(payload, () => handedOver);
    const done = work.then(
      () => undefined,
      () => undefined,
    );
    this.inHand.set(
      partition,
      done.finally(() => this.inHand.delete(partition)),
    );
    while (!(await this.isDoneSoon(done, payload))) {
      if (this.slow >= this.options.maxSlowBatches) continue;
      handedOver = true;
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

  /** Starts nothing more. Resolves when nothing is in hand. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.inHand.values());
  }

  private async work(payload: EachBatchPayload, handedOver: () => boolean): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    for (const part of splitBatch(messages, this.options.limits)) {
      if (handedOver() || !payload.isRunning() || payload.isStale() || this.stopping.signal.aborted) return;
      this.movedAt = performance.now();
      try {
        await this.options.handle({ topic, partition, messages: part });
      } catch (error) {
        this.putOff(payload, part[0]!.offset, error as Error);
        return;
      }
      this.handled += part.length;
      this.noteSuccess(partition);
      await this.commit(payload, part.at(-1)!.offset);
    }
  }

  private async commit(payload: EachBatchPayload, last: string): Promise<void> {
    const { topic, partition } = payload.batch;
    // It was given to another member meanwhile, who starts at the last commit: the guard absorbs what comes twice.
    if (!this.mine?.includes(partition)) return;
    payload.resolveOffset(last);
    await payload.commitOffsetsIfNecessary({
      topics: [{ topic, partitions: [{ partition, offset: String(BigInt(last) + 1n) }] }],
    });
  }

  /** Pauses the partition for a while. What is not resolved is read again, by another member if it was given to one meanwhile. */
  private putOff(payload: EachBatchPayload, offset: string, error: Error): void {
    const { partition } = payload.batch;
    this.movedAt = performance.now();
    if (!this.mine?.includes(partition)) return;
    const remedy = this.options.remedyFor(error);
    const times = (this.failures.get(partition)?.times ?? 0) + 1;
    const why = `partition ${partition} waits at offset ${offset}: ${error.message}`;
    const wasStopped = this.failure?.remedy !== undefined;
    this.failures.set(partition, { why, remedy, times });
    if (remedy === undefined) this.log.error(`In the replica ${why}. It is tried again.`);
    else if (!wasStopped) this.log.fatal(`The replica is stopped: ${why}. To go on: ${remedy}.`);
    const backoff = backoffMs(RETRY, times);
    const resume = payload.pause();
    void delay(remedy === undefined ? backoff : STOPPED_RETRY_MS, undefined, { signal: this.stopping.signal }).then(
      resume,
      () => undefined,
    );
  }

  private noteSuccess(partition: number): void {
    const wasStopped = this.failure?.remedy !== undefined;
    this.failures.delete(partition);
    if (wasStopped && this.failure?.remedy === undefined) this.log.log('The replica goes on');
  }

  private async isDoneSoon(done: Promise<void>, payload: EachBatchPayload): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(MAX_FETCH_BLOCK_MS, false, { signal: timer.signal });
    late.catch(() => undefined);
    const isDone = await Promise.race([done.then(() => true), late]);
    timer.abort();
    // kafkajs sends none of its own while it waits for a batch. A failed one means a rebalance, which it notices itself.
    if (!isDone) void payload.heartbeat().catch(() => undefined);
    return isDone;
  }
}

/** What is applied in one transaction at most. */
export interface BatchLimits {
  readonly records: number;
  /** Of the records' values. One record may exceed it; it is then a batch of its own. */
  readonly bytes: number;
}

/**
 * A fetched batch in parts within the limits, in its order. A fetch is limited in bytes, too, but as they are on the wire: a batch
 * that somebody else's producer compressed may be a hundred times as large when it is read.
 */
export function* splitBatch(messages: readonly KafkaMessage[], limits: BatchLimits): Generator<readonly KafkaMessage[], void, void> {
  let from = 0;
  let bytes = 0;
  for (const [at, { value }] of messages.entries()) {
    const size = value?.length ?? 0;
    if (at > from && (at - from === limits.records || bytes + size > limits.bytes)) {
      yield messages.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < messages.length) yield messages.slice(from);
}

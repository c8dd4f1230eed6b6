import { Logger } from '@nestjs/common';
import { ClientKafka } from '@nestjs/microservices';
import type { RecordMetadata } from 'kafkajs';
import { lastValueFrom } from 'rxjs';
import type { Change } from '#change-log';
import { type Backoff, DEFAULT_TIMINGS, type KafkaSettings, retry } from '#config';
import { EVENT_HEADERS } from '#events';
import { ensureTopic, kafkaClientOptions, METADATA_MAX_AGE_MS, partitionByKey, withDisconnectTimeout } from '#kafka';

/** What of a change is published. */
export type Publishable = Pick<Change, 'email' | 'event'>;

/** What the topic takes (10 MB), less room for key, headers and the record's frame. Beyond 100 MB a broker would end the connection. */
const LARGEST_BYTES = 10 * 1024 * 1024 - 64 * 1024;

/**
 * Puts changes on Kafka, in order, one send in flight. A batch is sent until every in-sync replica has it; what a failed try
 * left behind arrives twice, which the replica's guard absorbs. kafkajs's idempotent producer is not used: it can drop messages
 * without an error (kafkajs #1005).
 */
export class Publisher {
  private readonly logger = new Logger('publisher');
  private client = this.connection();
  private topicReady = false;
  /** Why the last try failed, while what it was about waits for the next one. */
  failure: string | undefined;
  /** When, as performance.now() has it. */
  failedAt = 0;
  /** By partition: the offset at which the last batch that Kafka acknowledged begins. */
  readonly sentAt = new Map<number, number>();

  constructor(
    private readonly settings: KafkaSettings,
    private readonly backoff: Backoff = DEFAULT_TIMINGS.sync.publishRetry,
  ) {}

  private connection(): ClientKafka {
    return new ClientKafka({
      client: kafkaClientOptions(this.settings, 'subscription-sync-publisher'),
      producerOnlyMode: true,
      postfixId: '',
      producer: {
        idempotent: false,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        metadataMaxAge: METADATA_MAX_AGE_MS,
        createPartitioner: partitionByKey,
      },
      send: { acks: -1, timeout: 30_000 },
    });
  }

  /**
   * Resolves when Kafka has acknowledged all of them, however long that takes; rejects only when `signal` aborts. A send under way
   * is then finished, unless Kafka does not answer.
   * @returns those that Kafka never takes, because they are too large. They were not published.
   */
  async publish<T extends Publishable>(changes: readonly T[], signal: AbortSignal): Promise<readonly T[]> {
    const small = changes.filter(({ event }) => event.length <= LARGEST_BYTES);
    const huge = changes.filter(({ event }) => event.length > LARGEST_BYTES);
    try {
      return [...huge, ...(small.length > 0 ? await this.publishOrDivide(small, signal) : [])];
    } finally {
      // Nothing waits for Kafka any more: what was given up is the next session's, maybe another process's.
      this.failure = undefined;
    }
  }

  /** A topic of somebody else's may have a lower limit than ours. */
  private async publishOrDivide<T extends Publishable>(changes: readonly T[], signal: AbortSignal): Promise<readonly T[]> {
    if (await this.sendUntilTaken(changes, signal)) return [];
    if (changes.length === 1) return changes;
    const refused: T[] = [];
    for (const change of changes) refused.push(...(await this.publishOrDivide([change], signal)));
    return refused;
  }

  /** @returns false when the broker says that it is too large. */
  private async sendUntilTaken(changes: readonly Publishable[], signal: AbortSignal): Promise<boolean> {
    const attempt = async (): Promise<boolean> => {
      try {
        await withDisconnectTimeout(this.send(changes), signal);
        return true;
      } catch (error) {
        if (isTooLarge(error)) return false;
        throw error;
      }
    };
    const onFailure = ({ message }: Error, pauseMs: number): void => {
      this.failure = message;
      this.failedAt = performance.now();
      // The topic may have been deleted.
      this.topicReady = false;
      this.logger.error(`Kafka did not accept ${changes.length} changes: ${message}. Trying again in ${pauseMs} ms.`);
    };
    const taken = await retry(attempt, { backoff: this.backoff, signal, onFailure });
    this.failure = undefined;
    return taken;
  }

  /** Goes on with a new connection; the old one may hang. What it still has to say to Kafka arrives twice at worst. */
  renew(): void {
    const old = this.client;
    this.client = this.connection();
    void withDisconnectTimeout(old.close(), AbortSignal.abort()).catch(() => undefined);
  }

  async close(): Promise<void> {
    await withDisconnectTimeout(this.client.close(), AbortSignal.abort());
  }

  private async send(changes: readonly Publishable[]): Promise<void> {
    if (!this.topicReady) {
      await ensureTopic(this.settings);
      this.topicReady = true;
    }
    const messages = changes.map((change) => ({ key: change.email, value: change.event, headers: EVENT_HEADERS }));
    const sent = this.client.emitBatch<readonly RecordMetadata[]>(this.settings.topic, { messages });
    for (const { partition, baseOffset } of await lastValueFrom(sent)) this.sentAt.set(partition, Number(baseOffset));
  }
}

/** The broker's answer to a record, or a batch of them, beyond the topic's max.message.bytes. */
function isTooLarge(error: unknown): boolean {
  const { type, cause } = error as { type?: unknown; cause?: unknown };
  return (
    type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE' || (cause !== undefined && cause !== error && isTooLarge(cause ?? {}))
  );
}

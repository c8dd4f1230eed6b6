import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { ClientKafka } from '@nestjs/microservices';
import type { RecordMetadata } from 'kafkajs';
import { lastValueFrom } from 'rxjs';
import type { Change } from '#change-log';
import { type KafkaSettings, type KafkaTimings, retry, SETTINGS, type Settings, TIMINGS, type Timings } from '#config';
import { EVENT_HEADERS, EventSignatures, SIGNATURE_HEADER, TRACEPARENT_HEADER } from '#events';
import { ensureTopic, explainKafkaError, kafkaClientOptions, partitionByKey, withDisconnectTimeout } from '#kafka';
import { type BatchSpans, Tracing } from '#observability';

/** The part of a change that is published. */
export type Publishable = Pick<Change, 'email' | 'event'> & Partial<Pick<Change, 'version' | 'traceparent'>>;

/** Maximum size of an event: the limit of the service's topic (10 MB) less key, headers and framing. A broker ends the connection beyond 100 MB. */
const MAX_EVENT_BYTES = 10 * 1024 * 1024 - 64 * 1024;

/**
 * Publishes changes to Kafka, in order, with one send in flight. A batch is sent until every in-sync replica has it. What a failed attempt
 * has left on Kafka arrives twice, which the replica's guard absorbs. kafkajs's idempotent producer is not used: it can drop messages
 * without an error (kafkajs #1005).
 */
export class Publisher {
  private readonly logger = new Logger('publisher');
  private client: ClientKafka;
  private isTopicReady = false;
  private readonly signatures: EventSignatures | undefined;
  /** Why the last attempt failed, while its batch waits for the next one. */
  failure: string | undefined;
  /** Time of that failure (performance.now(), ms). */
  failedAt = 0;
  /** Per partition: the first offset of the last batch that Kafka acknowledged. */
  readonly sentAt = new Map<number, number>();

  constructor(
    private readonly settings: KafkaSettings,
    private readonly timings: Pick<Timings, 'kafka' | 'sync'>,
    private readonly connect: ProducerFactory,
    private readonly tracing?: Tracing,
  ) {
    this.client = connect();
    this.signatures = settings.signing && new EventSignatures(settings.signing.secrets);
  }

  /**
   * Resolves when Kafka has acknowledged all changes, however long that takes. Rejects only when `signal` aborts; a send in flight is then
   * finished, unless Kafka does not answer.
   * @returns the changes that Kafka refuses permanently because they are too large. They were not published.
   */
  async publish<T extends Publishable>(changes: readonly T[], signal: AbortSignal): Promise<readonly T[]> {
    const small = changes.filter(({ event }) => event.length <= MAX_EVENT_BYTES);
    const tooLarge = changes.filter(({ event }) => event.length > MAX_EVENT_BYTES);
    const spans = this.tracing?.startSending(this.settings.topic, changes);
    try {
      const refused = [...tooLarge, ...(small.length > 0 ? await this.publishOrSplit(small, signal, spans) : [])];
      for (const { traceparent } of refused) spans?.fail(traceparent, 'MESSAGE_TOO_LARGE');
      return refused;
    } catch (error) {
      spans?.failAll(error);
      throw error;
    } finally {
      spans?.end();
      // Nothing waits for Kafka any more: after an abort the next session publishes, maybe in another process.
      this.failure = undefined;
    }
  }

  /** Publishes the changes, one by one if the topic refuses the batch: an operator's topic may have a lower limit than the service's. */
  private async publishOrSplit<T extends Publishable>(
    changes: readonly T[],
    signal: AbortSignal,
    spans?: BatchSpans,
  ): Promise<readonly T[]> {
    if (await this.sendUntilAccepted(changes, signal, spans)) return [];
    if (changes.length === 1) return changes;
    const refused: T[] = [];
    for (const change of changes) refused.push(...(await this.publishOrSplit([change], signal, spans)));
    return refused;
  }

  /** @returns false if the broker refuses the batch as too large. */
  private async sendUntilAccepted(changes: readonly Publishable[], signal: AbortSignal, spans?: BatchSpans): Promise<boolean> {
    const attempt = async (): Promise<boolean> => {
      try {
        await withDisconnectTimeout(this.send(changes, spans), signal, this.timings.kafka.disconnectTimeoutMs);
        return true;
      } catch (error) {
        if (isTooLarge(error)) return false;
        throw error;
      }
    };
    const onFailure = (error: Error, pauseMs: number): void => {
      this.failure = explainKafkaError(error, this.settings, 'publish');
      this.failedAt = performance.now();
      // The topic may have been deleted.
      this.isTopicReady = false;
      this.logger.error({
        code: 'publish-failed',
        message: `Kafka did not accept a batch (changes: ${changes.length}): ${this.failure}. Trying again in ${pauseMs} ms.`,
      });
    };
    const accepted = await retry(attempt, { backoff: this.timings.sync.publishRetry, signal, onFailure });
    this.failure = undefined;
    return accepted;
  }

  /** Continues with a new connection, because the old one may hang. What the old one still sends arrives twice at worst. */
  reconnect(): void {
    const old = this.client;
    this.client = this.connect();
    void this.disconnect(old).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.disconnect(this.client);
  }

  private disconnect(client: ClientKafka): Promise<void> {
    return withDisconnectTimeout(client.close(), AbortSignal.abort(), this.timings.kafka.disconnectTimeoutMs);
  }

  private async send(changes: readonly Publishable[], spans?: BatchSpans): Promise<void> {
    if (!this.isTopicReady) {
      await ensureTopic(this.settings, this.timings.kafka, 'publish');
      this.isTopicReady = true;
    }
    const messages = changes.map(({ email, event, traceparent }) => {
      const signed = this.signatures ? { ...EVENT_HEADERS, [SIGNATURE_HEADER]: this.signatures.sign(email, event) } : EVENT_HEADERS;
      const context = spans?.contextOf(traceparent);
      return { key: email, value: event, headers: context === undefined ? signed : { ...signed, [TRACEPARENT_HEADER]: context } };
    });
    const sent = this.client.emitBatch<readonly RecordMetadata[]>(this.settings.topic, { messages });
    for (const { partition, baseOffset } of await lastValueFrom(sent)) this.sentAt.set(partition, Number(baseOffset));
  }
}

/** Creates publishers with the settings and timings of the process. */
@Injectable()
export class PublisherFactory {
  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Optional() private readonly tracing?: Tracing,
  ) {}

  create(): Publisher {
    const kafka = this.settings.kafka!;
    return new Publisher(kafka, this.timings, producerFactory(kafka, this.timings.kafka), this.tracing);
  }
}

/** Creates a connection to Kafka for one producer. A hung connection is replaced, so the publisher needs more than one. */
type ProducerFactory = () => ClientKafka;

export function producerFactory(settings: KafkaSettings, timings: KafkaTimings): ProducerFactory {
  return () =>
    new ClientKafka({
      client: kafkaClientOptions(settings, 'subscription-sync-publisher', timings),
      producerOnlyMode: true,
      postfixId: '',
      producer: {
        idempotent: false,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        metadataMaxAge: timings.metadataMaxAgeMs,
        createPartitioner: partitionByKey,
      },
      send: { acks: -1, timeout: 30_000 },
    });
}

/** Whether the broker refuses a record, or a batch of records, because it exceeds the topic's max.message.bytes. */
function isTooLarge(error: unknown): boolean {
  const { type, cause } = error as { type?: unknown; cause?: unknown };
  return (
    type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE' || (cause !== undefined && cause !== error && isTooLarge(cause ?? {}))
  );
}

import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { ClientKafka } from '@nestjs/microservices';
import type { KafkaSettings } from '#config';
import { ensureTopic, kafkaClientOptions, partitionByKey } from '#kafka';
import { lastValueFrom } from 'rxjs';
import type { Change } from './change.js';

const RETRY_MS = { first: 100, longest: 5_000 };
const HEADERS = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };

/**
 * Puts changes on Kafka, in order, one send in flight. A batch is sent until every in-sync replica has it; what a failed try
 * left behind arrives twice, which the replica's guard absorbs. kafkajs's idempotent producer is not used: it can drop messages
 * without an error (kafkajs #1005).
 */
export class Publisher {
  private readonly logger = new Logger('publisher');
  private readonly client: ClientKafka;
  private topicReady = false;
  /** Why the last try failed; undefined while all is well. */
  failure: string | undefined;

  constructor(private readonly settings: KafkaSettings) {
    this.client = new ClientKafka({
      client: kafkaClientOptions(settings, 'subscription-sync-publisher'),
      producerOnlyMode: true,
      postfixId: '',
      producer: {
        idempotent: false,
        maxInFlightRequests: 1,
        allowAutoTopicCreation: false,
        createPartitioner: partitionByKey,
      },
      send: { acks: -1, timeout: 30_000 },
    });
  }

  /** Resolves when Kafka has acknowledged all of them, however long that takes; rejects only when `signal` aborts. */
  async publish(changes: readonly Change[], signal: AbortSignal): Promise<void> {
    let pause: number = RETRY_MS.first;
    for (;;) {
      signal.throwIfAborted();
      try {
        await this.send(changes);
        this.failure = undefined;
        return;
      } catch (error) {
        this.failure = (error as Error).message;
        // It may have been deleted.
        this.topicReady = false;
        this.logger.error(`Kafka did not take ${changes.length} changes: ${this.failure}. Trying again in ${pause} ms.`);
        await delay(pause, undefined, { signal });
        pause = Math.min(pause * 2, RETRY_MS.longest);
      }
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  private async send(changes: readonly Change[]): Promise<void> {
    if (!this.topicReady) {
      await ensureTopic(this.settings);
      this.topicReady = true;
    }
    const messages = changes.map((change) => ({ key: change.email, value: change.event, headers: HEADERS }));
    await lastValueFrom(this.client.emitBatch(this.settings.topic, { messages }), { defaultValue: undefined });
  }
}

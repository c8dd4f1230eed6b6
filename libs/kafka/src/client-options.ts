import { connect } from 'node:net';
import type { KafkaSettings } from '#config';
import { logLevel, type KafkaConfig } from 'kafkajs';
import { kafkaLogCreator } from './kafka-log.js';
import { endWhenSilent } from './silent-socket.js';
import { inWholeAnswers } from './whole-answers.js';

const KEEP_ALIVE_MS = 60_000;
/**
 * So often producer and consumer ask for the topic's partitions, ms. A producer that knows of new ones before the consumer fills them
 * unread, for kafkajs's 5 minutes if nothing else fails.
 */
export const METADATA_MAX_AGE_MS = 5_000;
/** Longer than a broker takes that waits for a replica; twice in a row at most, then it goes on without it. */
const ANSWER_MS = 15_000;

/**
 * How every client of ours reaches Kafka. kafkajs leaves Nagle's algorithm on, which costs a round trip a 40 ms tail
 * (p99 39 ms against 8 ms end to end): hence the socket factory. It also ends connections that give no answer for `answerMs`,
 * and keeps half an answer from outliving its connection.
 */
export function kafkaClientOptions(settings: KafkaSettings, clientId: string, answerMs = ANSWER_MS): KafkaConfig {
  return {
    clientId,
    brokers: [...settings.brokers],
    logLevel: logLevel.WARN,
    logCreator: kafkaLogCreator,
    connectionTimeout: 3_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5 },
    socketFactory: ({ host, port, onConnect }) =>
      inWholeAnswers(endWhenSilent(connect({ host, port }, onConnect).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS), answerMs)),
  };
}

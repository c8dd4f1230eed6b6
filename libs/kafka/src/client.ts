import { connect } from 'node:net';
import { Logger } from '@nestjs/common';
import { type ICustomPartitioner, type KafkaConfig, type logCreator, logLevel } from 'kafkajs';
import type { KafkaSettings } from '#config';
import { destroyWhenUnresponsive, frameResponses } from './response-framing.js';

const KEEP_ALIVE_MS = 60_000;
/**
 * So often producer and consumer ask for the topic's partitions, ms. A producer that knows of new ones before the consumer fills them
 * unread, for kafkajs's 5 minutes if nothing else fails.
 */
export const METADATA_MAX_AGE_MS = 5_000;
/** Longer than a broker takes that waits for a replica; twice in a row at most, then it goes on without it. */
const REQUEST_TIMEOUT_MS = 15_000;

/**
 * How every client of ours reaches Kafka. kafkajs leaves Nagle's algorithm on, which costs a round trip a 40 ms tail
 * (p99 39 ms against 8 ms end to end): hence the socket factory. It also ends connections that give no answer for `answerMs`,
 * and keeps half an answer from outliving its connection.
 */
export function kafkaClientOptions(settings: KafkaSettings, clientId: string, answerMs = REQUEST_TIMEOUT_MS): KafkaConfig {
  return {
    clientId,
    brokers: [...settings.brokers],
    logLevel: logLevel.WARN,
    logCreator: kafkaLogCreator,
    connectionTimeout: 3_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5 },
    socketFactory: ({ host, port, onConnect }) =>
      frameResponses(
        destroyWhenUnresponsive(connect({ host, port }, onConnect).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS), answerMs),
      ),
  };
}

/**
 * kafkajs's own log lines, through Nest's logger. An error answer of a broker to a single request is part of normal life (a
 * coordinator that still loads, a topic that is being made): kafkajs tries again, and what it gives up on is thrown.
 */
const kafkaLogCreator: logCreator = () => {
  const logger = new Logger('kafkajs');
  return ({ namespace, level, log }) => {
    const text = [`[${namespace}] ${log.message}`, log['broker'], log['error']].filter((part) => part !== undefined).join(': ');
    if (level > logLevel.WARN || log.message.startsWith('Response ')) logger.debug(text);
    else if (level === logLevel.WARN) logger.warn(text);
    else logger.error(text);
  };
};

/** What a broker that is there needs at most to answer. */
const DISCONNECT_TIMEOUT_MS = 5_000;

/**
 * Settles as `work` does, but no later than 5 s after `stop` aborted. kafkajs waits for the answers to its requests before it
 * disconnects, 30 s and several times over when a broker hangs: a process that ends need not. What Kafka did not acknowledge is
 * published again by the next one, and a group that got no goodbye notices when the session times out.
 * @throws Error when `work` was left behind; it may still happen.
 */
export async function withDisconnectTimeout<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let leave = (): void => undefined;
  const left = new Promise<never>((_resolve, reject) => {
    const why = new Error(`Kafka did not answer within ${DISCONNECT_TIMEOUT_MS / 1_000} s of the stop`);
    leave = () => void (timer = setTimeout(() => reject(why), DISCONNECT_TIMEOUT_MS));
  });
  if (stop.aborted) leave();
  else stop.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([work, left]);
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', leave);
  }
}

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/**
 * The partition of a key, as Kafka's own clients choose it (murmur2 of the key, without the sign, modulo the count), so that a
 * record of any client's producer with the same key lands in the same partition. kafkajs's default does the same with 64-bit
 * objects, which took 2 µs a record: a twentieth of the whole pipeline's time.
 */
export const partitionByKey: ICustomPartitioner =
  () =>
  ({ message, partitionMetadata }) => {
    if (message.key === null || message.key === undefined)
      throw new TypeError('A record without a key has no place in the order of its email');
    return (murmur2(Buffer.from(message.key)) & 0x7fffffff) % partitionMetadata.length;
  };

function murmur2(data: Buffer): number {
  const { length } = data;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(data.readInt32LE(at), MULTIPLIER);
    word = Math.imul(word ^ (word >>> 24), MULTIPLIER);
    hash = Math.imul(hash, MULTIPLIER) ^ word;
  }
  if (at < length) {
    for (let shift = 0; at < length; at += 1, shift += 8) hash ^= data[at]! << shift;
    hash = Math.imul(hash, MULTIPLIER);
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
  return hash ^ (hash >>> 15);
}

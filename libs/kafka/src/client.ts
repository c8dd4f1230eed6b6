import { Logger } from '@nestjs/common';
import { type ICustomPartitioner, type KafkaConfig, type logCreator, logLevel } from 'kafkajs';
import type { KafkaSettings, KafkaTimings } from '#config';
import { brokerSockets } from './broker-socket.js';
import { noteGroupRefusal, SettingsProblem } from './connection-errors.js';
import './produce-request.js';
import './request-queue.js';
import { forgetToken, saslOptions } from './sasl.js';

/**
 * Returns the options of every Kafka client of this service. Its connections are those of `brokerSockets`, which use TLS and SASL as the settings say.
 *
 * @param heldTimeoutMs the longest time for which a broker holds a request of a group's member.
 */
export function kafkaClientOptions(
  settings: KafkaSettings,
  clientId: string,
  timings: KafkaTimings,
  heldTimeoutMs = timings.unresponsiveTimeoutMs,
): KafkaConfig {
  const { sasl } = settings.security;
  return {
    clientId,
    brokers: [...settings.brokers],
    logLevel: logLevel.WARN,
    logCreator: () => logTo(settings),
    connectionTimeout: timings.connectTimeoutMs,
    requestTimeout: timings.requestTimeoutMs,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5 },
    ...(sasl && { sasl: saslOptions(sasl, timings) }),
    socketFactory: brokerSockets(settings.security, timings, { timeoutMs: timings.unresponsiveTimeoutMs, heldTimeoutMs }),
  };
}

/** How kafkajs begins the line of a login that a broker refuses. */
const LOGIN_REFUSED = /^SASL \S+ authentication failed/;

/**
 * Passes kafkajs's log lines to Nest's logger. An error answer to a single request is normal (a coordinator that is still loading, a
 * topic that is being created): kafkajs retries it, and throws when it gives up, so such lines are logged at debug level. The same holds for what its
 * pool of brokers and its logins say, for a consumer's end, and for settings that have to be corrected: the service logs those errors itself.
 */
function logTo(settings: KafkaSettings): ReturnType<logCreator> {
  const logger = new Logger('kafkajs');
  return ({ namespace, level, log }) => {
    noteGroupRefusal(settings, log.message, log['error']);
    if (LOGIN_REFUSED.test(log.message)) forgetToken(settings.security.sasl);
    const text = [`[${namespace}] ${log.message}`, log['broker'], log['error']].filter((part) => part !== undefined).join(': ');
    const isThrown =
      /^(Response |Crash: )/.test(log.message) || /^(BrokerPool|SaslAuthenticator)/.test(namespace) || SettingsProblem.isInLog(log);
    if (level > logLevel.WARN || isThrown) logger.debug(text);
    else if (level === logLevel.WARN) logger.warn({ code: 'kafka-client', message: text });
    else logger.error({ code: 'kafka-client', message: text });
  };
}

/**
 * Settles as `work` does, but no later than `timeoutMs` after `stop` was aborted. Before it disconnects, kafkajs waits for the
 * answers to its requests: 30 s, several times over, when a broker hangs. A process that is stopping need not wait: the next process
 * publishes again what Kafka did not acknowledge, and the group's coordinator notices the missing member when its session times out.
 * @throws Error when the timeout has passed; `work` may still take effect.
 */
export async function withDisconnectTimeout<T>(work: Promise<T>, stop: AbortSignal, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let startTimer = (): void => undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    // Made here, an error would take 3 % of the sync role's CPU time where batches are small.
    const fail = (): void => reject(new Error(`Kafka did not answer within ${timeoutMs / 1_000} s of the stop`));
    startTimer = () => void (timer = setTimeout(fail, timeoutMs));
  });
  if (stop.aborted) startTimer();
  else stop.addEventListener('abort', startTimer, { once: true });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', startTimer);
  }
}

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;

/**
 * Chooses the partition of a key as Kafka's own clients do (murmur2 of the key, without its sign bit, modulo the number of
 * partitions), so that every client's records of a key go to the same partition. kafkajs's default gives the same result with 64-bit
 * objects, which took 2 µs a record: a twentieth of the whole pipeline's time.
 */
export const partitionByKey: ICustomPartitioner =
  () =>
  ({ message, partitionMetadata }) => {
    if (message.key === null || message.key === undefined) throw new TypeError('A record has no key, so its partition cannot be chosen');
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

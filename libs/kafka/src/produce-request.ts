import { createRequire } from 'node:module';
import crc32c from 'crc-32/crc32c.js';
import type { IHeaders, Message } from 'kafkajs';

/** The arguments that kafkajs passes to the encoder of a produce request. */
interface ProduceArguments {
  readonly acks: number;
  readonly timeout: number;
  readonly compression?: number;
  readonly transactionalId?: string | null;
  /** -1 for a producer that is not idempotent. A number or a Long. */
  readonly producerId?: number | { toString(): string };
  readonly topicData: readonly TopicRecords[];
}

interface TopicRecords {
  readonly topic: string;
  readonly partitions: readonly PartitionRecords[];
}

interface PartitionRecords {
  readonly partition: number;
  readonly messages: readonly Message[];
}

interface Exchange {
  readonly request: { readonly apiVersion: number; encode: () => Promise<object> };
  readonly response: unknown;
}

type Protocol = (api: { readonly version: number }) => (args: ProduceArguments) => Exchange;

const require = createRequire(import.meta.url);
const produce = require('kafkajs/src/protocol/requests/produce') as { protocol: Protocol };
const Encoder = require('kafkajs/src/protocol/encoder') as new (size?: number) => { buf: Buffer; offset: number };

/**
 * The versions of the request that are encoded here: from the first one with the record batches of Kafka 0.11 to the last one that kafkajs knows. Their
 * bodies are the same.
 */
const VERSIONS = { first: 3, last: 7 };
const protocolOfKafkajs = produce.protocol;

/**
 * Lets kafkajs encode records into one buffer of the right size. Its own encoder makes a buffer of 512 bytes for each record and each header and copies
 * them into larger and larger ones: 20 µs a record, and as much garbage.
 */
produce.protocol = ({ version }) => {
  const original = protocolOfKafkajs({ version });
  if (version < VERSIONS.first || version > VERSIONS.last) return original;
  return (args) => {
    const { request, response } = original(args);
    const isPlain = !args.compression && !args.transactionalId && String(args.producerId ?? -1) === '-1';
    return { request: isPlain ? { ...request, encode: () => Promise.resolve(asEncoder(encodeProduce(args))) } : request, response };
  };
};

function asEncoder(bytes: Buffer): object {
  return Object.assign(new Encoder(1), { buf: bytes, offset: bytes.length });
}

/** Size (bytes) of a batch before its records, and of the part of it that the batch's length does not count. */
const BATCH_HEADER = 61;
const BEFORE_LENGTH = 12;
/** Offsets in a batch: of the checksum, and of the first byte that it covers. */
const CHECKSUM_AT = 17;
const CHECKSUM_FROM = 21;
const MAGIC = 2;

/** Encodes the body of the request: its transactional id (null), acks, timeout and the record batches. */
function encodeProduce({ acks, timeout, topicData }: ProduceArguments): Buffer {
  const now = Date.now();
  const sized = topicData.map(({ topic, partitions }) => ({ topic, partitions: partitions.map((records) => measure(records, now)) }));
  const size = sized.reduce(
    (sum, { topic, partitions }) =>
      sum + 2 + Buffer.byteLength(topic) + 4 + partitions.reduce((inner, batch) => inner + 8 + BATCH_HEADER + batch.size, 0),
    2 + 2 + 4 + 4,
  );
  const bytes = Buffer.allocUnsafe(size);
  let at = bytes.writeInt16BE(-1, 0);
  at = bytes.writeInt16BE(acks, at);
  at = bytes.writeInt32BE(timeout, at);
  at = bytes.writeInt32BE(sized.length, at);
  for (const { topic, partitions } of sized) {
    at = bytes.writeInt16BE(Buffer.byteLength(topic), at);
    at += bytes.write(topic, at);
    at = bytes.writeInt32BE(partitions.length, at);
    for (const batch of partitions) at = writeBatch(bytes, at, batch);
  }
  return bytes;
}

interface SizedBatch {
  readonly partition: number;
  readonly messages: readonly Message[];
  readonly times: readonly number[];
  readonly firstTime: number;
  readonly lastTime: number;
  /** Sizes (bytes) of the records without their lengths, and of all with them. */
  readonly sizes: readonly number[];
  readonly size: number;
}

function measure({ partition, messages }: PartitionRecords, now: number): SizedBatch {
  const times = messages.map(({ timestamp }) => (timestamp === undefined ? now : Number(timestamp)));
  const firstTime = times.reduce((a, b) => Math.min(a, b), Infinity);
  const lastTime = times.reduce((a, b) => Math.max(a, b), -Infinity);
  let size = 0;
  const sizes = messages.map((message, index) => {
    const record = recordSize(message, times[index]! - firstTime, index);
    size += varintSize(record) + record;
    return record;
  });
  return { partition, messages, times, firstTime, lastTime, sizes, size };
}

function recordSize({ key, value, headers }: Message, delta: number, index: number): number {
  return 1 + varintSize(delta) + varintSize(index) + bytesSize(key) + bytesSize(value) + encodeHeaders(headers).length;
}

/** Writes a partition's number and its record batch. @returns the offset of what follows. */
function writeBatch(bytes: Buffer, from: number, { partition, messages, times, firstTime, lastTime, sizes, size }: SizedBatch): number {
  let at = bytes.writeInt32BE(partition, from);
  at = bytes.writeInt32BE(BATCH_HEADER + size, at);
  const batch = at;
  at = bytes.writeBigInt64BE(0n, at);
  at = bytes.writeInt32BE(BATCH_HEADER - BEFORE_LENGTH + size, at);
  at = bytes.writeInt32BE(0, at);
  at = bytes.writeInt8(MAGIC, at);
  at = batch + CHECKSUM_FROM;
  at = bytes.writeInt16BE(0, at);
  at = bytes.writeInt32BE(messages.length - 1, at);
  at = bytes.writeBigInt64BE(BigInt(firstTime), at);
  at = bytes.writeBigInt64BE(BigInt(lastTime), at);
  at = bytes.writeBigInt64BE(-1n, at);
  at = bytes.writeInt16BE(0, at);
  at = bytes.writeInt32BE(0, at);
  at = bytes.writeInt32BE(messages.length, at);
  messages.forEach(({ key, value, headers }, index) => {
    at = writeVarint(bytes, at, sizes[index]!);
    bytes[at++] = 0;
    at = writeVarint(bytes, at, times[index]! - firstTime);
    at = writeVarint(bytes, at, index);
    at = writeBytes(bytes, at, key);
    at = writeBytes(bytes, at, value);
    const encoded = encodeHeaders(headers);
    bytes.set(encoded, at);
    at += encoded.length;
  });
  bytes.writeInt32BE(crc32c.buf(bytes.subarray(batch + CHECKSUM_FROM, at)), batch + CHECKSUM_AT);
  return at;
}

const NO_HEADERS = Buffer.from([0]);
const headersCache = new WeakMap<IHeaders, Buffer>();

/** Headers are encoded once for each object, because most records have the same. */
function encodeHeaders(headers: IHeaders | undefined): Buffer {
  if (!headers) return NO_HEADERS;
  let encoded = headersCache.get(headers);
  if (!encoded) {
    const fields = Object.entries(headers).flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => [name, one] as const),
    );
    encoded = Buffer.allocUnsafe(
      varintSize(fields.length) + fields.reduce((sum, [name, value]) => sum + bytesSize(name) + bytesSize(value), 0),
    );
    let at = writeVarint(encoded, 0, fields.length);
    for (const [name, value] of fields) at = writeBytes(encoded, writeBytes(encoded, at, name), value);
    headersCache.set(headers, encoded);
  }
  return encoded;
}

type Content = string | Buffer | null | undefined;

function bytesSize(content: Content): number {
  if (content === null || content === undefined) return 1;
  const length = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
  return varintSize(length) + length;
}

/** Writes a length and the bytes; a null value as the length -1. */
function writeBytes(bytes: Buffer, at: number, content: Content): number {
  if (content === null || content === undefined) return writeVarint(bytes, at, -1);
  if (typeof content !== 'string') {
    const start = writeVarint(bytes, at, content.length);
    bytes.set(content, start);
    return start + content.length;
  }
  const start = writeVarint(bytes, at, Buffer.byteLength(content));
  return start + bytes.write(content, start);
}

/** Signed numbers alternate with their negatives (zigzag), so that small ones of either sign are short. They may be larger than 32 bits. */
function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = zigzag(value); rest >= 128; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = zigzag(value);
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 128;
  bytes[at++] = rest;
  return at;
}

import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { rawMember } from './json-text.js';
import { MAX_VERSION, type Operation, OPERATIONS } from './subscription-event.js';

/** The parts of an event by which a reader orders and routes it, and the row. */
export interface ReceivedEvent {
  readonly version: number;
  /** The key: the normalised email. */
  readonly email: string;
  /** The email as DB1's row has it. */
  readonly written: string;
  readonly operation: Operation;
  /** When the change was made, RFC 3339. */
  readonly time: string;
  /** `data.subscription`: the JSON text of the event. Printing it again would change numbers that JavaScript cannot represent. */
  readonly image: string;
  /** The names in the image: DB1's columns at the time of the change. */
  readonly columns: readonly string[];
  /** W3C trace context of the request or the transaction that made the change, which may be any text. */
  readonly traceparent: string | undefined;
}

/** The class of an invalid record. Stored with a dead letter; the names are stable. */
type BadEventClass =
  'no-key' | 'no-value' | 'not-signed' | 'not-utf8' | 'not-json' | 'not-an-event' | 'version-out-of-range' | 'key-mismatch';

/** A record of the topic that is not a valid event. The message contains no email. */
export class BadEventError extends Error {
  constructor(
    readonly errorClass: BadEventClass,
    message: string,
  ) {
    super(message);
    this.name = 'BadEventError';
  }
}

const OPERATION_OF_TYPE = new Map<unknown, Operation>(OPERATIONS.map((operation) => [`subscription.${operation}`, operation]));

/**
 * Reads a record's key and value. Accepts any event of this major version: unknown fields and statuses pass.
 * `keyColumn` is the name of the email in the image.
 * @throws BadEventError
 */
export function decodeEvent(key: Buffer | null, value: Buffer | null, keyColumn = 'email'): ReceivedEvent {
  if (key === null) throw new BadEventError('no-key', 'The record has no key; it must be the email');
  if (value === null) throw new BadEventError('no-value', 'The record has no value; deletions are events, not null values');
  if (!isUtf8(value)) throw new BadEventError('not-utf8', 'The value is not UTF-8');
  const text = value.toString();
  const { envelope, image, values } = parseAsWritten(text) ?? parse(text);
  const { id, type, subject, time, traceparent } = envelope;
  if (envelope['specversion'] !== '1.0') throw notAnEvent('specversion is not "1.0"');
  const operation = OPERATION_OF_TYPE.get(type);
  if (!operation) throw notAnEvent(`type must be one of ${[...OPERATION_OF_TYPE.keys()].join(', ')}`);
  if (typeof subject !== 'string' || subject === '') throw notAnEvent('subject, the email, is missing');
  if (typeof time !== 'string') throw notAnEvent('time is missing');
  if (!isObject(values)) throw notAnEvent('data.subscription is missing');
  const version = toVersion(id);
  const written = values[keyColumn];
  if (typeof written !== 'string') throw notAnEvent(`data.subscription.${keyColumn} is missing`);
  if (!isSpellingOf(subject, written)) throw notAnEvent(`data.subscription.${keyColumn} differs from the subject`);
  if (key.toString() !== subject)
    throw new BadEventError('key-mismatch', 'The key differs from the subject: the record may be in the wrong partition');
  return {
    version,
    email: subject,
    written,
    operation,
    time,
    image,
    columns: Object.keys(values),
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
  };
}

/**
 * Whether an email is a spelling of a key. DB1 has normalised it, by the rules of its collation: a final sigma and letters of a database without
 * ICU may differ from what JavaScript would make of them, so both are folded.
 */
function isSpellingOf(key: string, written: string): boolean {
  return written === key || fold(written) === fold(key);
}

function fold(email: string): string {
  return email.trim().toLowerCase().normalize('NFC').replaceAll('\u03c2', '\u03c3');
}

interface ParsedEvent {
  readonly envelope: Readonly<Record<string, unknown>>;
  /** `data.subscription`: its text and its value, which may be anything. */
  readonly image: string;
  readonly values: unknown;
}

const BEFORE_IMAGE = '"data":{"subscription":';
const AFTER_IMAGE = '},"previous":';
/** Stands for the image. Nobody can write it into an event. */
const PLACEHOLDER = randomUUID();

/**
 * Parses an event in two parts, the image and the event without it, so that the image need not be looked for in the text afterwards: that takes half
 * the time. It guesses where the image is, as `eventText` writes events. The guess is right if both parts are JSON and the placeholder is where
 * the image belongs, because the text of a JSON object does not begin with that of another one.
 * @returns undefined for a text that may be JSON nevertheless.
 */
function parseAsWritten(text: string): ParsedEvent | undefined {
  const from = text.indexOf(BEFORE_IMAGE) + BEFORE_IMAGE.length;
  const to = text.indexOf(AFTER_IMAGE, from) + 1;
  if (text[from] !== '{' || to === 0) return undefined;
  const image = text.slice(from, to);
  try {
    const envelope: unknown = JSON.parse(`${text.slice(0, from)}"${PLACEHOLDER}"${text.slice(to)}`);
    if (!isObject(envelope) || !isObject(envelope['data']) || envelope['data']['subscription'] !== PLACEHOLDER) return undefined;
    return { envelope, image, values: JSON.parse(image) };
  } catch {
    return undefined;
  }
}

function parse(text: string): ParsedEvent {
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which contains personal data.
    throw new BadEventError('not-json', `The value is not JSON (${text.length} characters)`);
  }
  if (!isObject(envelope)) throw notAnEvent('it is not a JSON object');
  const values = isObject(envelope['data']) ? envelope['data']['subscription'] : undefined;
  return { envelope, image: imageIn(text) ?? JSON.stringify(values), values };
}

function imageIn(text: string): string | undefined {
  const data = rawMember(text, 'data');
  return data === undefined ? undefined : rawMember(data, 'subscription');
}

/** Parses the version. It is a number in the API's JSON, so it must be exact in every reader. */
function toVersion(id: unknown): number {
  if (typeof id !== 'string' || !/^[1-9]\d*$/.test(id)) throw notAnEvent('id, the version, is not a positive decimal number');
  const version = Number(id);
  if (version > MAX_VERSION) throw new BadEventError('version-out-of-range', `Version ${id} is beyond 2^53 - 1`);
  return version;
}

function notAnEvent(reason: string): BadEventError {
  return new BadEventError('not-an-event', `The value is not a subscription event: ${reason}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

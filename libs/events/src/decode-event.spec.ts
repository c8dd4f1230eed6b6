import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import addFormats from 'ajv-formats';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { BadEventError, decodeEvent } from './decode-event.js';
import { EVENT_SCHEMA, type SubscriptionEvent } from './subscription-event.js';

const FIXTURES = 'libs/events/fixtures';
const fixture = (name: string): string => readFileSync(`${FIXTURES}/${name}`, 'utf8');
const ajv = new Ajv2020();
addFormats.default(ajv);
const isEvent = ajv.compile(EVENT_SCHEMA);

interface Draft {
  [field: string]: unknown;
  data: { [field: string]: unknown; subscription: Record<string, unknown> };
}

/** The fixture with one change, as a record of the topic. */
function record(change: (event: Draft) => void = () => undefined): [Buffer, Buffer] {
  const event = JSON.parse(fixture('created.json')) as Draft;
  change(event);
  return [Buffer.from('ada@example.com'), Buffer.from(JSON.stringify(event))];
}

function classOf(key: Buffer | null, value: Buffer | null): string {
  try {
    decodeEvent(key, value);
    return 'accepted';
  } catch (error) {
    return (error as BadEventError).errorClass;
  }
}

test.each(readdirSync(FIXTURES))('%s matches the schema and is decoded', (name) => {
  const text = fixture(name);
  const event = JSON.parse(text) as SubscriptionEvent;
  expect(isEvent(event)).toBe(true);
  const read = decodeEvent(Buffer.from(event.subject), Buffer.from(text));
  expect({ ...read, image: JSON.parse(read.image) as unknown }).toEqual({
    version: Number(event.id),
    email: event.subject,
    written: event.subject,
    operation: event.type.replace('subscription.', ''),
    time: event.time,
    image: event.data.subscription,
    columns: Object.keys(event.data.subscription),
    traceparent: event.traceparent,
  });
});

test('the image keeps digits that JavaScript would lose', () => {
  const [key, value] = record();
  const text = value.toString().replace('{"source":"web"}', '{"amount":12345678901234567890.10}');
  expect(decodeEvent(key, Buffer.from(text)).image).toContain('12345678901234567890.10');
});

describe('an invalid record is classified', () => {
  const [key, value] = record();
  test.each([
    ['no-key', null, value],
    ['no-value', key, null],
    ['not-utf8', key, Buffer.from([0x22, 0xff, 0x22])],
    ['not-json', key, Buffer.from('{"id":')],
    ['not-an-event', key, Buffer.from('[]')],
    ['not-an-event', ...record((event) => (event['specversion'] = '0.3'))],
    ['not-an-event', ...record((event) => (event['type'] = 'subscription.archived'))],
    ['not-an-event', ...record((event) => (event['id'] = '1.5'))],
    ['not-an-event', ...record((event) => (event.data.subscription['email'] = 'eve@example.com'))],
    ['not-an-event', ...record((event) => delete (event as Partial<Draft>).data)],
    ['version-out-of-range', ...record((event) => (event['id'] = '9007199254740993'))],
    ['key-mismatch', Buffer.from('eve@example.com'), value],
  ] as [string, Buffer | null, Buffer | null][])('%s', (errorClass, badKey, badValue) => {
    expect(classOf(badKey, badValue)).toBe(errorClass);
  });
});

test('errors quote nothing of the record, which contains personal data', () => {
  const [key] = record();
  expect(() => decodeEvent(key, Buffer.from('{"email": ada@example.com'))).toThrow(expect.not.stringContaining('ada'));
});

test('the published schema is the one in the code', () => {
  expect(JSON.parse(readFileSync('docs/subscription-event.schema.json', 'utf8'))).toEqual(EVENT_SCHEMA);
});

import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEvent } from './decode-event.js';
import { eventText, type LoggedChange } from './event-text.js';

const CHANGE: LoggedChange = {
  version: '42',
  operation: 'updated',
  email: 'ada@example.com',
  image: '{"email":"ada@example.com","version":42,"balance":12345678901234567890.10}',
  previous: '{"balance":1.50}',
  actor: 'billing',
  reason: null,
  origin: 'sql',
  traceparent: null,
  occurred_at: '2026-11-29 14:47:53.123456+00',
};

test('the text keeps the digits of the image and of the previous values', () => {
  expect(eventText(CHANGE)).toBe(
    '{"specversion":"1.0","id":"42","source":"/subscription-sync/db1","type":"subscription.updated","subject":"ada@example.com",' +
      '"time":"2026-11-29T14:47:53.123456+00:00","datacontenttype":"application/json","data":{' +
      '"subscription":{"email":"ada@example.com","version":42,"balance":12345678901234567890.10},"previous":{"balance":1.50},' +
      '"actor":"billing","reason":null,"origin":"sql"}}',
  );
});

test.each<[string, Partial<LoggedChange>, object]>([
  ['a trace', { traceparent: '00-4bf9-00f0-01' }, { traceparent: '00-4bf9-00f0-01' }],
  ['no previous values', { previous: null }, { data: { previous: {} } }],
  [
    'quotes and line breaks in what the writer claims',
    { actor: 'a "b"\\\n', reason: '\u0001' },
    { data: { actor: 'a "b"\\\n', reason: '\u0001' } },
  ],
])('an event with %s', (_, change, expected) => {
  expect(JSON.parse(eventText({ ...CHANGE, ...change }))).toMatchObject(expected);
});

test('the reader of the topic gets what was logged', () => {
  const read = decodeEvent(Buffer.from(CHANGE.email), Buffer.from(eventText(CHANGE)));
  expect(read).toMatchObject({ version: 42, operation: 'updated', email: CHANGE.email, image: CHANGE.image });
});

test('the reader finds the image among members and texts that look like the rest of an event', () => {
  const likeness = fc.constantFrom('previous', 'data', 'subscription', '},"previous":', '"data":{"subscription":', '{', '}', '\\"');
  const json = fc.jsonValue({ maxDepth: 2 });
  const values = fc.dictionary(fc.oneof(likeness, fc.string()), fc.oneof(likeness, json, fc.dictionary(likeness, json)), { maxKeys: 5 });
  fc.assert(
    fc.property(values, values, likeness, (image, previous, actor) => {
      const text = JSON.stringify({ ...image, email: CHANGE.email });
      const event = eventText({ ...CHANGE, image: text, previous: JSON.stringify(previous), actor });
      const read = decodeEvent(Buffer.from(CHANGE.email), Buffer.from(event));
      expect([read.image, read.columns]).toEqual([text, Object.keys(JSON.parse(text) as object)]);
    }),
  );
});

const OTHER = '{"email":"ada@example.com","balance":2}';
test.each([
  ['a second member `data`', (text: string) => `${text.slice(0, -1)},"data":{"subscription":${OTHER},"previous":{}}}`],
  ['a second member `subscription`', (text: string) => `${text.slice(0, -2)},"subscription":${OTHER}}}`],
  [
    'an event inside of another member',
    (text: string) => `{"other":${text},${text.slice(1).replace(/"subscription":\{[^}]*\}/, `"subscription":${OTHER}`)}`,
  ],
  ['line breaks', (text: string) => text.replace(/"subscription":\{[^}]*\}/, `"subscription": ${OTHER}`).replaceAll(',"', ',\n"')],
])('with %s, the image is the one that a parser of JSON finds', (_, change) => {
  const text = change(eventText(CHANGE));
  const { image } = decodeEvent(Buffer.from(CHANGE.email), Buffer.from(text));
  expect(JSON.parse(image)).toEqual((JSON.parse(text) as { data: { subscription: unknown } }).data.subscription);
  expect(JSON.parse(image)).toEqual(JSON.parse(OTHER));
});

test.each([
  ['after the image', (text: string) => text.replace('"reason":null', '"reason":nul')],
  ['in the image', (text: string) => text.replace('"version":42', '"version":042')],
  ['at the end of the image', (text: string) => text.replace('.10}', '.10]')],
])('what is no JSON %s is refused', (_, change) => {
  const text = change(eventText(CHANGE));
  expect(() => decodeEvent(Buffer.from(CHANGE.email), Buffer.from(text))).toThrow(expect.objectContaining({ errorClass: 'not-json' }));
});

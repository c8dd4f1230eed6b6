import { expect, test } from '@jest/globals';
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

import { createHmac } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { EventSignatures } from './event-signature.js';

const KEY = 'ada@example.com';
const VALUE = '{"id":"42"}';
const bytes = (text: string): Buffer => Buffer.from(text);
const signatures = new EventSignatures(['first']);
const header = bytes(signatures.sign(KEY, VALUE));

test('the signature is the HMAC of the length of the key, the key and the value', () => {
  const mac = createHmac('sha256', 'first').update('15:ada@example.com{"id":"42"}').digest('base64');
  expect(header.toString()).toBe(`hmac-sha256=${mac}`);
  expect(signatures.isValid(header, bytes(KEY), bytes(VALUE))).toBe(true);
});

test.each([
  ['another value', header, KEY, '{"id":"43"}'],
  ['another key', header, 'eve@example.com', VALUE],
  ['a byte that was moved from the value to the key', header, `${KEY}{`, VALUE.slice(1)],
  ['another secret', bytes(new EventSignatures(['other']).sign(KEY, VALUE)), KEY, VALUE],
  ['a shorter signature', header.subarray(0, -8), KEY, VALUE],
  ['another algorithm', bytes(header.toString().replace('sha256', 'md5')), KEY, VALUE],
  ['two signatures', [header, header], KEY, VALUE],
  ['no signature', undefined, KEY, VALUE],
])('%s is refused', (_, sent, key, value) => {
  expect(signatures.isValid(sent, bytes(key), bytes(value))).toBe(false);
});

test('the secret before is accepted while the secret is being replaced, and does not sign', () => {
  const replacing = new EventSignatures(['second', 'first']);
  expect(replacing.isValid(header, bytes(KEY), bytes(VALUE))).toBe(true);
  expect(signatures.isValid(bytes(replacing.sign(KEY, VALUE)), bytes(KEY), bytes(VALUE))).toBe(false);
});

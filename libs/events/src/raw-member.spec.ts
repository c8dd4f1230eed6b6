import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { rawMember } from './decode-event.js';

test('any member of any object, however it is spaced, parses to what JSON.parse says', () => {
  const key = fc.string().filter((name) => JSON.stringify(name) === `"${name}"`);
  fc.assert(
    fc.property(fc.dictionary(key, fc.jsonValue()), fc.integer({ min: 0, max: 3 }), (object, spaces) => {
      const text = JSON.stringify(object, null, spaces);
      for (const name of Object.keys(object)) {
        expect(JSON.parse(rawMember(text, name)!)).toEqual((JSON.parse(text) as Record<string, unknown>)[name]);
      }
    }),
  );
});

test('numbers keep their digits', () => {
  expect(rawMember('{"a":{"n":12345678901234567890.10}}', 'a')).toBe('{"n":12345678901234567890.10}');
});

test('the last of two members with one name counts, as in JSON.parse; nested ones do not', () => {
  expect(rawMember('{"a":1,"b":{"a":3},"a":2}', 'a')).toBe('2');
  expect(rawMember('{"b":{"a":3}}', 'a')).toBeUndefined();
});

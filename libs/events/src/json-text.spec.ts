import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compactJson, rawMember, rawMembers } from './json-text.js';

test('the text of any member, with any whitespace, parses to the value that JSON.parse returns', () => {
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

test('the texts of all members parse to the values that JSON.parse returns, by any names', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.integer({ min: 0, max: 3 }), (object, spaces) => {
      const text = JSON.stringify(object, null, spaces);
      const values = Object.entries(JSON.parse(text) as object);
      expect([...rawMembers(text)].map(([name, value]) => [name, JSON.parse(value) as unknown])).toEqual(values);
    }),
  );
  expect([...rawMembers('{"a":1,"\\u0061":1.50}')]).toEqual([['a', '1.50']]);
});

test('numbers keep their digits', () => {
  expect(rawMember('{"a":{"n":12345678901234567890.10}}', 'a')).toBe('{"n":12345678901234567890.10}');
});

test('the last of two members with the same name counts, as in JSON.parse, and nested members do not', () => {
  expect(rawMember('{"a":1,"b":{"a":3},"a":2}', 'a')).toBe('2');
  expect(rawMember('{"b":{"a":3}}', 'a')).toBeUndefined();
});

test('a compact text has no whitespace outside strings, and keeps its digits', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 3 }), (value, spaces) => {
      expect(compactJson(JSON.stringify(value, null, spaces))).toBe(JSON.stringify(value));
    }),
  );
  expect(compactJson('{ "a" : 1.50, "b\\" : " : [1, 2] }')).toBe('{"a":1.50,"b\\" : ":[1,2]}');
});

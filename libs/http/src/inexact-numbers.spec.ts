import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { inexactNumbers } from './inexact-numbers.js';

const pointers = (json: string, root?: string): (string | undefined)[] => inexactNumbers(json, root).map(({ pointer }) => pointer);

describe('numbers that JSON.parse keeps', () => {
  test.each([
    '9007199254740991',
    '9007199254740992',
    '-9007199254740994',
    '100000000000000000000000',
    '0.30000000000000004',
    '0.1000000000000000000000',
    '1.50e3',
    '1E+22',
    '1.7976931348623157e308',
    '5e-324',
    '-0.0000000000000000000',
    '0e999999',
    '123456789.123456',
  ])('%s', (number) => {
    expect(inexactNumbers(`{"a":${number}}`)).toEqual([]);
  });
});

describe('numbers that JSON.parse changes', () => {
  test.each([
    '9007199254740993',
    '-9007199254740993',
    '12345678901234567890',
    '123456789.12345678901',
    '0.30000000000000005',
    '0.10000000000000000555',
    '1e309',
    '-1e309',
    '1e-400',
    '12345678901234567e1',
  ])('%s', (number) => {
    expect(pointers(`{"a":${number}}`)).toEqual(['/a']);
  });
});

test('all numbers that differ are reported by their pointers', () => {
  const json = '{"x":1, "metadata" : {"id":9007199254740993,"list":[1,{"a/b~c":1e999}, [] ,9007199254740993], "ok":9007199254740992}}';
  expect(pointers(json)).toEqual(['/metadata/id', '/metadata/list/1/a~1b~0c', '/metadata/list/3']);
  expect(inexactNumbers(json)[0]).toMatchObject({ field: 'metadata', detail: expect.stringContaining('as a string') });
});

test('digits in strings and names are not numbers', () => {
  expect(inexactNumbers('{"9007199254740993":"9007199254740993","b":"\\"9007199254740993","c":"\\\\","d":["1e999"]}')).toEqual([]);
});

test('the pointer into a single field begins with the field', () => {
  expect(pointers('{"id":[9007199254740993]}', 'metadata')).toEqual(['/metadata/id/0']);
  expect(pointers('9007199254740993', 'metadata')).toEqual(['/metadata']);
});

test('of many such numbers the first 20 are reported', () => {
  expect(pointers(`{"a":[${'1e999,'.repeat(10_000)}1]}`)).toEqual(Array.from({ length: 20 }, (_, i) => `/a/${i}`));
});

test('a pointer ends before a name that may be an email', () => {
  expect(inexactNumbers('{"metadata":{"ada@example.com":{"id":9007199254740993}}}')).toMatchObject([
    { field: 'metadata', pointer: '/metadata' },
  ]);
  expect(inexactNumbers('{"ada@example.com":9007199254740993}')).toEqual([
    { field: '(unknown field)', detail: expect.any(String) as unknown },
  ]);
});

test('a text with a number that it does not report has the same value after it was parsed and printed', () => {
  const digits = fc.stringMatching(/^(0|[1-9]\d{0,24})(\.\d{1,25})?([eE][+-]?\d{1,2})?$/);
  fc.assert(
    fc.property(digits, fc.boolean(), (number, negative) => {
      const text = `${negative ? '-' : ''}${number}`;
      const isKept = inexactNumbers(`[${text}]`).length === 0;
      expect(isKept).toBe(sameValue(text, String(JSON.parse(text))));
    }),
    { numRuns: 5_000 },
  );
});

/** Compares two decimal numbers as fractions of whole numbers. */
function sameValue(one: string, other: string): boolean {
  const [a, b] = [fractionOf(one), fractionOf(other)];
  return a.numerator * b.denominator === b.numerator * a.denominator;
}

function fractionOf(text: string): { numerator: bigint; denominator: bigint } {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const power = Number(exponent) - fraction.length;
  const digits = BigInt(whole + fraction);
  return power < 0
    ? { numerator: digits, denominator: 10n ** BigInt(-power) }
    : { numerator: digits * 10n ** BigInt(power), denominator: 1n };
}

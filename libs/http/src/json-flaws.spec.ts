import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { jsonFlaws } from './json-flaws.js';

const flawsOf = (json: string, root?: string): ReturnType<typeof jsonFlaws> =>
  jsonFlaws(json, JSON.parse(json), root === undefined ? {} : { root });
const pointers = (json: string, root?: string): (string | undefined)[] => flawsOf(json, root).map(({ pointer }) => pointer);

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
    expect(flawsOf(`{"a":${number}}`)).toEqual([]);
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
  expect(flawsOf(json)[0]).toMatchObject({ field: 'metadata', detail: expect.stringContaining('as a string') });
});

test('digits in strings and names are not numbers', () => {
  expect(flawsOf('{"9007199254740993":"9007199254740993","b":"\\"9007199254740993","c":"\\\\","d":["1e999"]}')).toEqual([]);
});

test('the pointer into a single field begins with the field', () => {
  expect(pointers('{"id":[9007199254740993]}', 'metadata')).toEqual(['/metadata/id/0']);
  expect(pointers('9007199254740993', 'metadata')).toEqual(['/metadata']);
});

test('of many such numbers the first 20 are reported, and that there are more', () => {
  const first = Array.from({ length: 20 }, (_, i) => `/a/${i}`);
  expect(pointers(`{"a":[${'1e999,'.repeat(20)}1]}`)).toEqual(first);
  const errors = flawsOf(`{"a":[${'1e999,'.repeat(10_000)}1]}`);
  expect(errors.map(({ pointer }) => pointer)).toEqual([...first, undefined]);
  expect(errors.at(-1)).toEqual({ field: 'a', detail: 'has more errors: only the first 20 are listed' });
});

describe('members that occur twice', () => {
  test.each([
    ['at the top', '{"a":1,"b":2,"a":1}', ['/a']],
    ['with an escape in one of the names', '{"status":"active","\\u0073tatus":"paused"}', ['/status']],
    ['three times', '{"a":1,"a":2,"a":3}', ['/a', '/a']],
    ['inside an array', '{"a":[{"b":1},{"b":1,"c":[],"b":{}}]}', ['/a/1/b']],
    ['behind white space', '{"a" \t\r\n: 1 , "a" : 2}', ['/a']],
    ['behind a string with quotes and colons', '{"a":"\\":\\\\","b":"\\\\","a":1}', ['/a']],
    ['with an empty name', '{"a":{"":1,"":2}}', ['/a']],
    ['that are objects themselves', '{"a":{"x":1},"a":{"y":1}}', ['/a']],
    ['named as a property of every object', '{"toString":1,"toString":2}', ['/toString']],
  ])('%s', (_, json, expected) => {
    expect(pointers(json)).toEqual(expected);
    expect(flawsOf(json)[0]!.detail).toContain('occurs more than once');
  });

  test.each([
    '{"a":{"b":1},"c":{"b":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":"a","b":["a","a"],"A":"\\"a\\":1"}',
    '{"a":":","b":"x:\\\\"}',
    '{}',
    '[[],{}]',
    '"a"',
    '7',
    'null',
    '{"prototype":1,"a":{"prototype":{}},"proto":"__proto__","b":["constructor"]}',
  ])('are not seen in %s', (json) => {
    expect(flawsOf(json)).toEqual([]);
  });

  test('are found whatever the text has', () => {
    const name = fc.oneof(fc.constantFrom('a', 'b', 'é', '"', '\\', '\\"', ':', 'a:'), fc.string({ unit: 'binary', maxLength: 3 }));
    const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.string({ unit: 'binary' }));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 6 }), fc.boolean(), (members, isNested) => {
        const space = isNested ? ' \n' : '';
        const object = `{${members.map(([key, item]) => `${space}${JSON.stringify(key)}${space}:${JSON.stringify(item)}`).join(',')}}`;
        const json = isNested ? `{"x":[${object}]}` : object;
        const duplicates = members.length - new Set(members.map(([key]) => key)).size;
        const found = flawsOf(json).filter(({ detail }) => detail.includes('more than once'));
        expect(found).toHaveLength(duplicates);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('names that reach a prototype', () => {
  test.each([
    ['__proto__', '{"__proto__":{"status":"active"}}', ['/__proto__']],
    ['__proto__ inside, whatever its value', '{"a":[{"__proto__":1}]}', ['/a/0/__proto__']],
    ['__proto__ with escapes', '{"a":{"\\u005f_pr\\u006Fto__":1}}', ['/a/__proto__']],
    ['constructor', '{"a":[{"constructor":1}]}', ['/a/0/constructor']],
    ['constructor with escapes', '{"\\u0063onstructor":{"prototype":{}}}', ['/constructor']],
  ])('%s', (_, json, expected) => {
    expect(pointers(json)).toEqual(expected);
    expect(flawsOf(json)[0]!.detail).toContain('name of a member');
  });
});

test('the numbers of a field that is not stored may be of any size, its members not', () => {
  const json = '{"id":[12345678901234567890,{"a":1,"a":1}],"metadata":12345678901234567890}';
  const errors = jsonFlaws(json, JSON.parse(json), { storesNumbers: (field) => field === 'metadata' });
  expect(errors.map(({ pointer }) => pointer)).toEqual(['/id/1/a', '/metadata']);
});

test('a pointer names at most 32 levels, however deep the text is', () => {
  const json = `${'{"a":'.repeat(5_000)}1e999${'}'.repeat(5_000)}`;
  expect(pointers(json)).toEqual(['/a'.repeat(32)]);
});

test('a pointer ends before a name that may be an email', () => {
  expect(flawsOf('{"metadata":{"ada@example.com":{"id":9007199254740993}}}')).toMatchObject([{ field: 'metadata', pointer: '/metadata' }]);
  expect(flawsOf('{"ada@example.com":9007199254740993}')).toEqual([{ field: '(unknown field)', detail: expect.any(String) as unknown }]);
});

test('a text with a number that it does not report has the same value after it was parsed and printed', () => {
  const digits = fc.stringMatching(/^(0|[1-9]\d{0,24})(\.\d{1,25})?([eE][+-]?\d{1,2})?$/);
  fc.assert(
    fc.property(digits, fc.boolean(), (number, negative) => {
      const text = `${negative ? '-' : ''}${number}`;
      const isKept = flawsOf(`[${text}]`).length === 0;
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

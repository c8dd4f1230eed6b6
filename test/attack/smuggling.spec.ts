import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';
import { exchange, jsonRequest, LAST, rawRequest } from './raw-connection.js';
import { SMUGGLED, Victim } from './victim.js';

let world: World;
let victim: Victim;

beforeAll(async () => {
  world = await World.shared();
  victim = new Victim(world);
});
afterAll(() => world.close());
beforeEach(() => victim.remember());

/** The request that an attacker hides. The server does not check credentials here, so that it is carried out wherever it is found. */
const HIDDEN = jsonRequest('POST /subscriptions', JSON.stringify({ email: SMUGGLED, status: 'active' }));
const CHUNKED = 'Transfer-Encoding: chunked';
const JSON_TYPE = 'Content-Type: application/json';

/** Expects one 400 that ends the connection, whatever follows it. */
async function expectRefusedConnection(bytes: string): Promise<void> {
  const { answers, rest } = await exchange(world.url, bytes + HIDDEN + LAST);
  expect({ answers: answers.map(({ status }) => status), rest }).toEqual({ answers: [400], rest: '' });
  expect(answers[0]!.head).toMatch(/\r\nconnection: close\r\n/i);
  victim.expectRefusal(answers[0]!, 400);
  await victim.expectUnharmed();
}

/** Heads of a POST whose end an attacker and the server could see in different places. */
const AMBIGUOUS_HEADS: Readonly<Record<string, readonly string[]>> = {
  'Content-Length and Transfer-Encoding': ['Content-Length: 5', CHUNKED],
  'Transfer-Encoding and Content-Length': [CHUNKED, 'Content-Length: 5'],
  'Content-Length of 0 and Transfer-Encoding': ['Content-Length: 0', CHUNKED],
  'two lengths': ['Content-Length: 5', 'Content-Length: 0'],
  'two equal lengths': ['Content-Length: 0', 'Content-Length: 0'],
  'two lengths in one line': ['Content-Length: 0, 5'],
  'two equal lengths in one line': ['Content-Length: 0, 0'],
  'a length with a plus': ['Content-Length: +0'],
  'a negative length': ['Content-Length: -1'],
  'a hexadecimal length': ['Content-Length: 0x0'],
  'a length with a space inside': ['Content-Length: 0 0'],
  'a length with a comma': ['Content-Length: 0,'],
  'an empty length': ['Content-Length:'],
  'a length with a fraction': ['Content-Length: 0.0'],
  'a length in quotes': ['Content-Length: "0"'],
  'a length of more than 64 bits': ['Content-Length: 18446744073709551616'],
  'a length of other digits': ['Content-Length: \u00b2'],
  'an unknown coding': ['Transfer-Encoding: xchunked'],
  'a coding behind chunked': ['Transfer-Encoding: chunked, identity'],
  'a coding with a parameter': ['Transfer-Encoding: chunked;q=1'],
  'a coding in quotes': ['Transfer-Encoding: "chunked"'],
  'a coding behind a vertical tab': ['Transfer-Encoding: \u000bchunked'],
  'a coding with a NUL': ['Transfer-Encoding: chunked\u0000'],
  'a length and an empty coding': ['Content-Length: 5', 'Transfer-Encoding: '],
  'two lines of codings, the last not chunked': [CHUNKED, 'Transfer-Encoding: identity'],
  'a space before the colon': ['Transfer-Encoding : chunked'],
  'a tab before the colon': ['Content-Length\t: 5'],
  'a space before the name': [' Transfer-Encoding: chunked'],
  'a line that is folded': ['X-Folded: a', ' Transfer-Encoding: chunked'],
  'a line that is folded with a tab': ['X-Folded: a', '\tTransfer-Encoding: chunked'],
  'a coding that is folded': ['Transfer-Encoding:', ' chunked'],
  'a bare LF between headers': ['X-First: a\nTransfer-Encoding: chunked'],
  'a bare CR between headers': ['X-First: a\rTransfer-Encoding: chunked'],
  'a NUL in a value': ['X-First: a\u0000b'],
  'a NUL in a name': ['X-First\u0000: a'],
  'a name that is empty': [': a'],
  'a line without a colon': ['X-First'],
  'a name with a bracket': ['Content-Length[]: 5'],
};

describe('a head that can be read in two ways is a 400 that ends the connection', () => {
  test.each(Object.entries(AMBIGUOUS_HEADS))('%s', async (_, headers) => {
    await expectRefusedConnection(rawRequest('POST /subscriptions', [JSON_TYPE, ...headers]));
  });
});

describe('a start line that is not one is a 400 that ends the connection', () => {
  test.each([
    ['HTTP/2 without its negotiation', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown version', 'GET /health/live HTTP/1.9\r\nHost: localhost\r\n\r\n'],
    ['a version in lower case', 'GET /health/live http/1.1\r\nHost: localhost\r\n\r\n'],
    ['a second version', 'GET /health/live HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a space in the target', 'GET /health /live HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a bare LF behind it', 'GET /health/live HTTP/1.1\nHost: localhost\r\n\r\n'],
    ['a NUL in the target', 'GET /health\u0000/live HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['an unknown method', 'GETS /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
  ])('%s', async (_, bytes) => {
    await expectRefusedConnection(bytes);
  });
});

test('a request without a host is a 400 that ends the connection', async () => {
  const { answers, rest } = await exchange(world.url, 'GET /health/live HTTP/1.1\r\n\r\n');
  expect({ answers: answers.map(({ status }) => status), rest }).toEqual({ answers: [400], rest: '' });
});

test('behind an empty coding the length counts, and nothing else is carried out', async () => {
  const head = rawRequest('POST /subscriptions', [JSON_TYPE, 'Transfer-Encoding:', `Content-Length: ${HIDDEN.length}`]);
  const { answers, rest } = await exchange(world.url, head + HIDDEN + LAST);
  expect([[400, 200], [400]]).toContainEqual(answers.map(({ status }) => status));
  expect(rest).toBe('');
  await victim.expectUnharmed();
});

test('a request of HTTP/0.9 ends the connection', async () => {
  const { answers, rest } = await exchange(world.url, `GET /health/live\r\n\r\n${HIDDEN}${LAST}`);
  expect({ answers, rest }).toEqual({ answers: [], rest: '' });
  await victim.expectUnharmed();
});

/** Bodies whose end is not where their chunks say. */
const CHUNKS: Readonly<Record<string, string>> = {
  'a size that is not hexadecimal': 'G\r\n',
  'a negative size': '-1\r\n\r\n',
  'a size with 0x': '0x1\r\na\r\n0\r\n\r\n',
  'a size behind a space': ' 1\r\na\r\n0\r\n\r\n',
  'an empty size': '\r\n\r\n',
  'a size of more than 64 bits': '10000000000000000\r\na\r\n0\r\n\r\n',
  'a size of many digits': `${'f'.repeat(1_000)}\r\na\r\n0\r\n\r\n`,
  'more data than the size': '1\r\nab\r\n0\r\n\r\n',
  'data without its end': '1\r\na0\r\n\r\n',
  'a bare LF behind the size': '1\na\r\n0\r\n\r\n',
  'a bare LF behind the data': '1\r\na\n0\r\n\r\n',
  'a bare LF in an extension': '1;x=a\nb\r\na\r\n0\r\n\r\n',
  'a NUL in an extension': '1;x=a\u0000\r\na\r\n0\r\n\r\n',
  'extensions of 32 KB': `1;x=${'a'.repeat(32_768)}\r\na\r\n0\r\n\r\n`,
  'a trailer without a colon': '0\r\nX-Trailer\r\n\r\n',
  'a length in the trailers': '2\r\n{}\r\n0\r\nContent-Length: 500\r\n\r\n',
  'a coding in the trailers': '2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n',
  'a bare LF in the trailers': '0\r\nX-Trailer: a\nX-Other: b\r\n\r\n',
};

describe('chunks that do not end where they say are one 400 that ends the connection', () => {
  test.each(Object.entries(CHUNKS))('%s', async (_, body) => {
    await expectRefusedConnection(rawRequest('POST /subscriptions', [JSON_TYPE, CHUNKED], body));
  });

  test('behind a DELETE', async () => {
    await expectRefusedConnection(rawRequest('DELETE /subscriptions/victim%40example.com', [JSON_TYPE, CHUNKED], '1\r\nab\r\n'));
  });
});

test('headers in the trailers have no effect', async () => {
  const body = '2\r\n{}\r\n0\r\nAuthorization: Bearer a\r\nX-Request-Id: from-the-trailers\r\nIdempotency-Key: k\r\n\r\n';
  const { answers } = await exchange(world.url, rawRequest('POST /subscriptions', [JSON_TYPE, CHUNKED], body) + LAST);
  expect(answers.map(({ status }) => status)).toEqual([400, 200]);
  expect(answers[0]!.head).not.toContain('from-the-trailers');
  await victim.expectUnharmed();
});

/** Requests that are refused before their body is read, or whose method has none. */
const REFUSED_WITH_BODY: readonly (readonly [name: string, status: number, start: string, type: string])[] = [
  ['a type that is not supported', 415, 'POST /subscriptions', 'text/plain'],
  ['a method that is not supported', 405, 'PUT /subscriptions', 'application/json'],
  ['a path that does not exist', 404, 'POST /nowhere', 'text/plain'],
  ['a path that is not well-formed', 400, 'PUT /subscriptions/%zz', 'application/json'],
  ['a path that is too long', 414, `PUT /subscriptions/${'a'.repeat(1_500)}`, 'application/json'],
  ['a body that is not JSON', 400, 'POST /subscriptions', 'application/json'],
  ['a GET with a body', 404, 'GET /subscriptions/nobody%40example.com', 'application/json'],
  ['a TRACE with a body', 405, 'TRACE /subscriptions', 'application/json'],
];

describe('the body of a refused request is never read as a request', () => {
  test.each(REFUSED_WITH_BODY)('%s', async (_, status, start, type) => {
    const length = `Content-Length: ${HIDDEN.length}`;
    const { answers, rest } = await exchange(world.url, rawRequest(start, [`Content-Type: ${type}`, length], HIDDEN) + LAST);
    // The server may end the connection with the refusal, but not answer more than was asked.
    expect([[status, 200], [status]]).toContainEqual(answers.map((answer) => answer.status));
    expect(rest).toBe('');
    await victim.expectUnharmed();
  });

  test('nor is the rest of one that is too large', async () => {
    const body = HIDDEN.repeat(1_000);
    const head = rawRequest('POST /subscriptions', [JSON_TYPE, `Content-Length: ${body.length}`]);
    const { answers, rest } = await exchange(world.url, head + body + LAST);
    expect([[413, 200], [413]]).toContainEqual(answers.map(({ status }) => status));
    expect(rest).toBe('');
    await victim.expectUnharmed();
  });
});

describe('an answer to malformed bytes is never the answer of the request before them', () => {
  test.each(['GET /subscriptions', 'GET /subscriptions/victim%40example.com', 'GET /subscriptions/export', 'GET /docs-json'])(
    '%s',
    async (start) => {
      const { answers } = await exchange(world.url, `${rawRequest(start)}GARBAGE\r\n\r\n`);
      // The connection may end without an answer.
      expect(['', '200', '200 400']).toContain(answers.map(({ status }) => status).join(' '));
    },
  );

  test('nor a part of a stream', async () => {
    const { answers, rest } = await exchange(world.url, `${rawRequest('GET /events/stream')}\u0000\r\n\r\n`);
    expect(answers.map(({ status, body }) => [status, body.includes('HTTP/1.1')])).not.toContainEqual([200, true]);
    expect(rest).not.toContain('HTTP/1.1');
  });
});

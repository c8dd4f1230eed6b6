import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';
import { exchange, jsonRequest, LAST, type RawAnswer, rawRequest } from './raw-connection.js';
import { SMUGGLED, VICTIM, Victim } from './victim.js';

let world: World;
let victim: Victim;

beforeAll(async () => {
  world = await World.shared();
  victim = new Victim(world);
});
afterAll(() => world.close());
beforeEach(() => victim.remember());

const PATH = `/subscriptions/${encodeURIComponent(VICTIM)}`;
/** Maximum size (bytes) of a refusal. A request has at most 16 KB of head and 64 KB of body. */
const MAX_REFUSAL = 512 * 1024;

async function send(bytes: string | Buffer): Promise<RawAnswer> {
  const { answers, rest } = await exchange(world.url, bytes);
  expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' });
  return answers[0]!;
}

async function expectRefused(bytes: string | Buffer, ...statuses: number[]): Promise<RawAnswer> {
  const answer = await send(bytes);
  victim.expectRefusal(answer, ...statuses);
  expect(answer.head.length + answer.body.length).toBeLessThan(MAX_REFUSAL);
  await victim.expectUnharmed();
  return answer;
}

const get = (path: string, headers: readonly string[] = []): string => rawRequest(`GET ${path}`, [...headers, 'Connection: close']);
const put = (body: string): string => jsonRequest(`PUT ${PATH}`, body, ['Connection: close']);

describe('a head of more than 16 KB is a 431 that ends the connection', () => {
  test.each([
    ['one header', get('/health/live', [`X-Large: ${'a'.repeat(17_000)}`])],
    [
      'many headers',
      get(
        '/health/live',
        Array.from({ length: 500 }, (_, i) => `X-Header-${i}: ${'a'.repeat(30)}`),
      ),
    ],
    ['the name of a header', get('/health/live', [`${'a'.repeat(17_000)}: a`])],
    ['a credential', get('/subscriptions', [`Authorization: Bearer ${'a'.repeat(17_000)}`])],
    ['a cookie', get('/subscriptions', [`Cookie: ${'a=b; '.repeat(4_000)}`])],
    ['a path', get(`/${'a'.repeat(17_000)}`)],
    ['a query', get(`/subscriptions?plan=${'a'.repeat(17_000)}`)],
    ['10 MB', get(`/subscriptions?plan=${'a'.repeat(10_000_000)}`)],
    ['one that never ends', `GET /health/live HTTP/1.1\r\n${'X-Header: a\r\n'.repeat(100_000)}`],
  ])('%s', async (_, bytes) => {
    const answer = await expectRefused(bytes, 431);
    expect(answer.head).toMatch(/\r\nconnection: close\r\n/i);
  });

  test('nothing behind it is answered', async () => {
    const hidden = jsonRequest('POST /subscriptions', JSON.stringify({ email: SMUGGLED, status: 'active' }));
    await expectRefused(get('/health/live', [`X-Large: ${'a'.repeat(17_000)}`]) + hidden + LAST, 431);
  });
});

describe('a query', () => {
  test.each([
    ['a long value', `plan=${'a'.repeat(15_000)}`],
    ['a long name', `${'a'.repeat(15_000)}=b`],
    ['thousands of unknown parameters', Array.from({ length: 2_500 }, (_, i) => `p${i}`).join('&')],
    ['thousands of the same parameter', `limit=1${'&limit=1'.repeat(1_800)}`],
    ['thousands of values', `status=${'a,'.repeat(7_000)}`],
    ['thousands of separators', `plan=&${'&'.repeat(15_000)}`],
    ['thousands of escapes', `email_prefix=${'%41'.repeat(5_000)}`],
    ['malformed escapes', `plan=${'%zz'.repeat(5_000)}`],
    ['names like those of nested objects', `a${'[b]'.repeat(5_000)}=1`],
    ['the name of a prototype', '__proto__[limit]=1&__proto__=1&constructor.prototype.limit=1'],
    ['numbers of many digits', `limit=${'9'.repeat(15_000)}`],
  ])('is refused: %s', async (_, query) => {
    await expectRefused(get(`/subscriptions?${query}`), 400);
  });
});

describe('a body', () => {
  const OPEN = 31_000;

  test.each([
    ['of 65 KB', put(`{"status":"active","metadata":{"a":"${'a'.repeat(65 * 1024)}"}}`), 413],
    ['of 20 MB', put(`{"status":"active","metadata":{"a":"${'a'.repeat(20_000_000)}"}}`), 413],
    ['of 65 KB of spaces', put(' '.repeat(65 * 1024)), 413],
    [
      'of 65 KB in chunks of one byte',
      rawRequest(
        `PUT ${PATH}`,
        ['Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close'],
        '1\r\na\r\n'.repeat(66_000),
      ),
      413,
    ],
    ['of deep arrays', put(`{"status":"active","metadata":{"a":${'['.repeat(OPEN)}${']'.repeat(OPEN)}}}`), 400],
    ['of deep arrays that are not closed', put('['.repeat(60_000)), 400],
    ['of deep objects', put(`{"status":"active","metadata":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`), 400],
    ['that is a deep array', put(`${'['.repeat(OPEN)}${']'.repeat(OPEN)}`), 400],
    ['with a deep status', put(`{"status":${'['.repeat(OPEN)}${']'.repeat(OPEN)}}`), 400],
    ['with a deep unknown member', put(`{"status":"active","x":${'[{"x":'.repeat(7_000)}1${'}]'.repeat(7_000)}}`), 400],
    ['with 30,000 elements', put(`{"status":"active","metadata":[${'0,'.repeat(30_000)}0]}`), 400],
    ['with 6,000 unknown members', put(`{${Array.from({ length: 6_000 }, (_, i) => `"x${i}":0`).join(',')}}`), 400],
    ['with 10,000 times the same member', put(`{"status":"active"${',"a":0'.repeat(10_000)}}`), 400],
    [
      'with 6,000 members of metadata',
      put(`{"status":"active","metadata":{${Array.from({ length: 6_000 }, (_, i) => `"${i}":0`).join(',')}}}`),
      400,
    ],
    ['with 8,000 numbers that are not exact', put(`{"status":"active","metadata":{"a":[${'1e999,'.repeat(8_000)}1]}}`), 400],
    ['with a number of 60,000 digits', put(`{"status":"active","metadata":{"a":1${'0'.repeat(60_000)}}}`), 400],
    ['with a number of 60,000 decimals', put(`{"status":"active","metadata":{"a":0.${'1'.repeat(60_000)}}}`), 400],
    [
      'with deep numbers that are not exact',
      put(`{"status":"active","metadata":${'{"abc":'.repeat(6_000)}1e999${'}'.repeat(6_000)}}`),
      400,
    ],
    ['with a name of 60,000 characters', put(`{"status":"active","${'a'.repeat(60_000)}":0}`), 400],
    ['with 60,000 backslashes', put(`{"status":"active","plan":"${'\\\\'.repeat(31_000)}"}`), 400],
    ['with 30,000 quotes', put(`{"status":"active","plan":"${'\\"'.repeat(31_000)}"}`), 400],
    ['with 10,000 escapes', put(`{"status":"active","plan":"${'\\u0061'.repeat(10_000)}"}`), 400],
    ['with a lone surrogate', put('{"status":"active","plan":"\\ud800"}'), 400],
  ])('%s', async (_, bytes, status) => {
    await expectRefused(bytes, status);
  });
});

describe('an import', () => {
  const file = (type: string, body: string | Buffer, headers: readonly string[] = []): Buffer =>
    Buffer.concat([
      Buffer.from(
        rawRequest('POST /subscriptions/import', [
          `Content-Type: ${type}`,
          `Content-Length: ${body.length}`,
          ...headers,
          'Connection: close',
        ]),
      ),
      Buffer.from(body),
    ]);

  async function expectLinesRefused(bytes: Buffer, lines: number): Promise<void> {
    const { status, body } = await send(bytes);
    expect(status).toBe(201);
    expect(JSON.parse(body)).toMatchObject({ lines, created: 0, updated: 0, refused: lines });
    expect(body.length).toBeLessThan(MAX_REFUSAL);
    await victim.expectUnharmed();
  }

  test('of 100,000 elements that are no lines answers with the first errors', async () => {
    await expectLinesRefused(file('application/json', `[${'0,'.repeat(99_999)}0]`), 100_000);
  });

  test('of a line that never ends holds no more than a line', async () => {
    await expectLinesRefused(file('application/x-ndjson', `{"email":"${'a'.repeat(5_000_000)}`), 1);
  });

  test('of deep lines answers for each', async () => {
    const deep = `{"email":"${SMUGGLED}","status":"active","metadata":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`;
    await expectLinesRefused(file('application/x-ndjson', `${deep}\n${'['.repeat(30_000)}\n${deep}\n`), 3);
  });

  test('of a file that becomes 1,000 times as large answers for its line', async () => {
    await expectLinesRefused(file('application/gzip', gzipSync(`{${'a'.repeat(50_000_000)}`)), 1);
  });

  test.each([
    ['a header of 30,000 columns', 'text/csv', 'a,'.repeat(30_000), 422],
    ['a quote that is never closed', 'text/csv', `email,status\n"${'a'.repeat(1_000_000)}`, 422],
    ['gzip inside gzip', 'application/gzip', gzipSync(gzipSync('{"email":"x@example.com"}')), 422],
    ['a file that is cut off', 'application/gzip', gzipSync('a'.repeat(100_000)).subarray(0, 50), 422],
    [
      'a form without an end',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
      400,
    ],
    [
      'a form with a header of 100 KB',
      'multipart/form-data; boundary=x',
      `--x\r\nContent-Disposition: form-data; name="${'a'.repeat(100_000)}"\r\n\r\n`,
      400,
    ],
    ['a form with a boundary of 10 KB', `multipart/form-data; boundary=${'x'.repeat(10_000)}`, '--x', 400],
  ])('is refused: %s', async (_, type, body, status) => {
    await expectRefused(file(type, body), status);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';
import { exchange, jsonRequest, LAST, type RawAnswer, rawRequest } from './raw-connection.js';
import { VICTIM, Victim } from './victim.js';

let world: World;
let victim: Victim;

beforeAll(async () => {
  world = await World.shared();
  victim = new Victim(world);
});
afterAll(() => world.close());
beforeEach(() => victim.remember());

const PATH = `/subscriptions/${encodeURIComponent(VICTIM)}`;

async function send(start: string, headers: readonly string[] = [], body?: string): Promise<RawAnswer> {
  const all = [...headers, 'Connection: close'];
  const { answers, rest } = await exchange(world.url, body === undefined ? rawRequest(start, all) : jsonRequest(start, body, all));
  expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' });
  return answers[0]!;
}

describe('a method', () => {
  test.each(['TRACE', 'PROPFIND', 'MKCOL', 'LOCK', 'PURGE', 'SEARCH', 'LINK', 'REPORT', 'MERGE', 'QUERY'])(
    'that the service does not have is refused: %s',
    async (method) => {
      for (const path of ['/', '/subscriptions', PATH, '/docs', '/health/live', '/nowhere']) {
        const answer = await send(`${method} ${path}`, ['X-Secret: do-not-echo']);
        victim.expectRefusal(answer, 400, 404, 405);
        expect(answer.head + answer.body).not.toContain('do-not-echo');
      }
      await victim.expectUnharmed();
    },
  );

  test.each(['get', 'Get', 'delete', 'DELETe', 'GET\u00a0', 'DEL\u0000ETE', '{}', ''])(
    'that is not spelt as one is refused: "%s"',
    async (method) => {
      const { answers } = await exchange(world.url, rawRequest(`${method} ${PATH}`) + LAST);
      expect(answers.map(({ status }) => status)).toEqual([400]);
      victim.expectRefusal(answers[0]!, 400);
      await victim.expectUnharmed();
    },
  );

  test.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', '_method'])('is not overridden by %s', async (name) => {
    expect((await send(`GET ${PATH}`, [`${name}: DELETE`])).status).toBe(200);
    victim.expectRefusal(await send(`POST ${PATH}`, [`${name}: DELETE`], '{}'), 405);
    victim.expectRefusal(await send(`POST ${PATH}?_method=DELETE`, [`${name}: DELETE`], '{"_method":"DELETE"}'), 405);
    await victim.expectUnharmed();
  });
});

/** Values that would end their line or the head in a response, a log or a record, if they were written there as they are. */
const INJECTIONS = ['a\rX-Injected: a', 'a\nX-Injected: a', 'a\r\n X-Injected: a', 'a\u0000b', 'a\u000bb', 'a\u001b[2Jb', 'a\u007fb'];
const ENCODED = [
  'a%0d%0aX-Injected:%20a',
  'a\\r\\nX-Injected: a',
  '\u560d\u560aX-Injected: a',
  '\u010d\u010aX-Injected: a',
  'a\u0085b',
  'a\u2028b',
];
/** Headers whose values reach a response, the log, a record of Kafka or a table. */
const CARRIED = [
  'X-Request-Id',
  'Idempotency-Key',
  'traceparent',
  'Prefer',
  'If-Match',
  'Origin',
  'Last-Event-ID',
  'Accept',
  'Authorization',
];

describe('a header cannot inject another one', () => {
  test.each(CARRIED)('%s', async (name) => {
    for (const value of [...INJECTIONS, ...ENCODED]) {
      const bytes = jsonRequest(`PATCH ${PATH}`, '{"plan":7}', [`${name}: ${value}`, 'Connection: close']);
      const { answers, rest } = await exchange(world.url, Buffer.from(bytes));
      expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' });
      // While access is open, a foreign origin is refused before anything else.
      victim.expectRefusal(answers[0]!, ...(name === 'Origin' ? [400, 403] : [400]));
      expect(answers[0]!.head).not.toMatch(/^x-injected/im);
      for (const character of ['\u0000', '\u000b', '\u001b', '\u007f']) expect(answers[0]!.head).not.toContain(character);
    }
    await victim.expectUnharmed();
  });

  test('an id of a request that has other characters is replaced', async () => {
    for (const id of ['a b', 'a@example.com', '<script>', 'a'.repeat(129), 'ä', '${jndi:ldap://evil}', '']) {
      const { head } = await send('GET /health/live', [`X-Request-Id: ${id}`]);
      expect(/\r\nx-request-id: (.*)\r\n/i.exec(head)![1]).toMatch(/^[0-9a-f-]{36}$/);
    }
    const { head } = await send('GET /nowhere', ['X-Request-Id: one', 'X-Request-Id: two']);
    expect(/\r\nx-request-id: (.*)\r\n/i.exec(head)![1]).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('a precondition is never left out', () => {
  test.each([500, 999, 1_000, 1_001, 3_000])('behind %i other headers', async (count) => {
    const others = Array.from({ length: count }, () => 'a:');
    for (const [header, status] of [
      ['If-Match: "0"', 412],
      ['If-None-Match: *', 412],
      ['Idempotency-Key: a b', 400],
      ['Content-Encoding: gzip', 415],
    ] as const) {
      const answer = await send(`PATCH ${PATH}`, [...others, header], '{"plan":"pro"}');
      victim.expectRefusal(answer, status);
    }
    await victim.expectUnharmed();
  });

  test('if its header comes twice', async () => {
    const twice = await send(`PATCH ${PATH}`, ['If-Match: "0"', 'If-Match: "1"'], '{"plan":"pro"}');
    victim.expectRefusal(twice, 412);
    victim.expectRefusal(await send(`PATCH ${PATH}`, ['Idempotency-Key: a', 'Idempotency-Key: b c'], '{"plan":"pro"}'), 400);
    await victim.expectUnharmed();
  });
});

test('an expectation that the server does not know is refused, and 100-continue sends no body back', async () => {
  expect((await send(`GET ${PATH}`, ['Expect: 200-maybe'])).status).toBe(417);
  const { answers } = await exchange(world.url, jsonRequest('POST /subscriptions', '{}', ['Expect: 100-continue', 'Connection: close']));
  expect(answers.map(({ status }) => status)).toEqual([100, 400]);
  await victim.expectUnharmed();
});

test.each(['websocket', 'h2c', 'TLS/1.0'])('an upgrade to %s is ignored', async (protocol) => {
  const upgrade = [`Upgrade: ${protocol}`, 'Connection: Upgrade, HTTP2-Settings, close', 'HTTP2-Settings: AAMAAABkAAQAAP__'];
  const { answers, rest } = await exchange(world.url, rawRequest('GET /health/live', upgrade));
  expect({ answers: answers.map(({ status }) => status), rest }).toEqual({ answers: [200], rest: '' });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { makeKey } from '../harness/credentials.js';
import { World } from '../harness/world.js';
import { exchange, jsonRequest, type RawAnswer, rawRequest } from './raw-connection.js';
import { SMUGGLED, Victim } from './victim.js';

let world: World;
let victim: Victim;
let key: string;

beforeAll(async () => {
  const shared = await World.shared();
  const env = { ACCESS: 'required', RATE_LIMIT_PER_ADDRESS: '0', AUTH_FAILURES_PER_ADDRESS: '0' };
  world = await shared.startBeside({ servers: [['api']], env });
  key = await makeKey(world.db1, 'read', 'write', 'delete', 'export', 'operate', 'admin');
  victim = new Victim(world, [key, key.slice(-43)]);
});
afterAll(() => world.stop());
beforeEach(() => victim.remember());

/** Sends one request. Returns its only answer. */
async function send(start: string, headers: readonly string[] = []): Promise<RawAnswer> {
  const { answers, rest } = await exchange(world.url, rawRequest(start, [...headers, 'Connection: close']));
  expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' });
  return answers[0]!;
}

const credential = (): string[] => [`Authorization: Bearer ${key}`];

/** Spellings of the path of a protected route. A router, a proxy and a guard may read them differently. */
const SPELLINGS = [
  '//subscriptions',
  '/subscriptions/',
  '/subscriptions//',
  '/./subscriptions',
  '/x/../subscriptions',
  '/docs/../subscriptions',
  '/docs/..%2fsubscriptions',
  '/docs/%2e%2e/subscriptions',
  '/docs/%2e%2e%2fsubscriptions',
  '/docs/..;/subscriptions',
  '/docs/..%5csubscriptions',
  '/docs;/../subscriptions',
  '/health/live/../../subscriptions',
  '/health/live/..%2f..%2fsubscriptions',
  '/health/live;/subscriptions',
  '/subscriptions;',
  '/subscriptions;docs',
  '/subscriptions;jsessionid=1',
  '/subscriptions%2f',
  '/subscriptions%3f',
  '/subscriptions%23',
  '/subscriptions%00',
  '/subscriptions%20',
  '/subscriptions%0a',
  '/subscriptions.json',
  '/Subscriptions',
  '/SUBSCRIPTIONS',
  '/%73ubscriptions',
  '/%2573ubscriptions',
  '/subscription%73',
  '/%2e/subscriptions',
  '/\\subscriptions',
  '/subscriptions/export/',
  '/subscriptions/export%2f',
  '/subscriptions/%65xport',
  '/subscriptions/%2565xport',
  '/access/keys/',
  '/access//keys',
  '/access%2fkeys',
  '/ACCESS/keys',
  '/access/./keys',
  '/docs/../access/keys',
  '/docs/..%2faccess%2fkeys',
  '/docs-json/../access/keys',
  '/metrics/../access/keys',
  '/problems/..%2faccess%2fkeys',
  '/subscriptions?/docs',
  '/subscriptions#/docs',
  'http://evil.example/subscriptions',
  'http://evil.example/access/keys',
  'https://user:pass@evil.example/subscriptions',
  'http://evil.example/docs/../subscriptions',
  'http:///subscriptions',
];

describe('a protected route needs a credential, however its path is spelt', () => {
  test.each(SPELLINGS)('%s', async (path) => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE']) {
      for (const headers of [
        [],
        ['X-Original-URL: /docs', 'X-Rewrite-URL: /docs', 'X-Forwarded-Prefix: /docs', 'X-Forwarded-Uri: /docs'],
      ]) {
        const answer = await send(`${method} ${path}`, headers);
        victim.expectRefusal(answer, 400, 401, 403, 404, 405, 414);
      }
    }
    await victim.expectUnharmed();
  });
});

/** Paths that lead out of the folder of Swagger UI, in the spellings of the known traversals. */
const TRAVERSALS = [
  '/docs/../package.json',
  '/docs/../../package.json',
  '/docs/..%2f..%2f..%2f..%2fetc%2fpasswd',
  '/docs/%2e%2e/%2e%2e/package.json',
  '/docs/%2e%2e%2f%2e%2e%2fpackage.json',
  '/docs/..%5c..%5cpackage.json',
  '/docs/..\\..\\package.json',
  '/docs/....//package.json',
  '/docs/%252e%252e%252fpackage.json',
  '/docs/%c0%ae%c0%ae/package.json',
  '/docs/%c0%ae%c0%ae%c0%afpackage.json',
  '/docs/%e0%80%ae%e0%80%ae/package.json',
  '/docs/%uff0e%uff0e/package.json',
  '/docs/..%00/package.json',
  '/docs/swagger-ui.css%00.js',
  '/docs/swagger-ui.css/../../package.json',
  '/docs//etc/passwd',
  '/docs/%2fetc%2fpasswd',
  '/docs/.npmrc',
  '/docs/node_modules/',
  '/docs/C:%5cwindows%5cwin.ini',
  '/docs/file:%2f%2f%2fetc%2fpasswd',
  `/docs/${'../'.repeat(50)}etc/passwd`,
  `/docs/${'a'.repeat(5_000)}`,
  '/docs/%ff',
  '/docs/%',
];

test.each(TRAVERSALS)('no file outside of Swagger UI is served: %s', async (path) => {
  for (const method of ['GET', 'HEAD']) {
    const answer = await send(`${method} ${path}`);
    expect([400, 403, 404, 414]).toContain(answer.status);
    expect(answer.body).not.toMatch(/root:|"dependencies"|swagger-ui-dist|Error: |@/);
    victim.expectRefusal(answer);
  }
});

/** Emails in a path that are none, or whose encoding has two readings. The credential may do everything. */
const EMAILS = [
  '%00',
  'victim@example.com%00',
  '%00victim@example.com',
  'victim%00@example.com',
  'victim@example.com%2f',
  'victim@example.com%2fhistory',
  'victim@example.com%2f..%2fother',
  '..%2fvictim@example.com',
  'victim@example.com;x=y',
  'victim@example.com%0d%0aX-Injected:%20a',
  'victim%2540example.com',
  'victim%c0%80@example.com',
  'v%c1%a9ctim@example.com',
  'victim@example.com%ed%a0%80',
  'victim@example.com%f4%90%80%80',
  'victim@example.com%',
  'victim@example.com%2',
  'victim@example.com%u0000',
  "victim@example.com'%20OR%20'1'='1",
  'victim@example.com%27%29%3b%20DROP%20TABLE%20subscriptions%3b--',
  '%22victim@example.com',
  '<script>@example.com',
  '%24%7bjndi:ldap:%2f%2fevil%7d@example.com',
  'victim@example.com,other@example.com',
  '*',
  '%25',
  '_',
  '..',
  '.',
];

test.each(EMAILS)('what is not an email reaches no subscription: %s', async (email) => {
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    const answer = await send(`${method} /subscriptions/${email}`, credential());
    victim.expectRefusal(answer, 400, 404, 405, 414);
  }
  const body = JSON.stringify({ status: 'active' });
  for (const method of ['PUT', 'PATCH']) {
    const headers = [...credential(), 'Connection: close'];
    const { answers } = await exchange(world.url, jsonRequest(`${method} /subscriptions/${email}`, body, headers));
    expect(answers).toHaveLength(1);
    victim.expectRefusal(answers[0]!, 400, 404, 405, 414);
  }
  await victim.expectUnharmed();
});

test.each([
  '0',
  '-1',
  '1e3',
  '0x1',
  '%00',
  '1%00',
  '٣',
  '99999999999999999999',
  '1;DROP',
  '1 OR 1=1',
  '00000000-0000-0000-0000-00000000000g',
])('what is not an id reaches nothing: %s', async (id) => {
  for (const path of ['/imports/', '/access/keys/', '/problems/', '/subscriptions/victim%40example.com/replication/']) {
    const answer = await send(`GET ${path}${id.includes(' ') ? encodeURIComponent(id) : Buffer.from(id).toString('latin1')}`, credential());
    victim.expectRefusal(answer, 400, 404, 405);
  }
  victim.expectRefusal(await send(`DELETE /access/keys/${encodeURIComponent(id)}`, credential()), 400, 404);
  await victim.expectUnharmed();
});

describe('other forms of a target', () => {
  test('the absolute form is that of its path, with the same access', async () => {
    expect((await send('GET http://evil.example/subscriptions', credential())).status).toBe(200);
    victim.expectRefusal(await send('GET http://evil.example/subscriptions'), 401);
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('second@example.com', 'active') ON CONFLICT DO NOTHING`);
    const { head } = await send('GET http://evil.example/subscriptions?limit=1', credential());
    expect(/\r\nlink: (.*)\r\n/i.exec(head)![1]).toMatch(/^<\/subscriptions\?limit=1&cursor=/);
  });

  test.each(['OPTIONS *', 'GET *', 'GET example.com:80', 'GET subscriptions', 'GET ?x', 'GET @evil.example/', 'GET ftp://evil.example/x'])(
    '%s is refused',
    async (start) => {
      victim.expectRefusal(await send(start, credential()), 400, 404, 405);
    },
  );

  test('CONNECT is refused, and opens no tunnel', async () => {
    const { answers, rest } = await exchange(
      world.url,
      `CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n${jsonRequest(
        'POST /subscriptions',
        JSON.stringify({ email: SMUGGLED, status: 'active' }),
        credential(),
      )}`,
    );
    expect(answers.map(({ status }) => status)).toEqual([400]);
    expect(rest).toBe('');
    victim.expectRefusal(answers[0]!, 400);
    await victim.expectUnharmed();
  });
});

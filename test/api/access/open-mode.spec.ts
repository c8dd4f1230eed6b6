import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started({ servers: [['api']], env: { CORS_ORIGINS: 'https://app.example.com' } });
});
afterAll(() => world.close());

/** Sends a request with exactly these headers. Returns the status and the body. */
async function send(start: string, headers: Readonly<Record<string, string>>): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(world.url);
  const socket = connect(Number(port), hostname);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${start}\r\n${lines.join('')}Connection: close\r\n\r\n`);
  const answer = await text(socket);
  return { status: Number(answer.slice(9, 12)), body: answer.slice(answer.indexOf('\r\n\r\n') + 4) };
}

const OWN = (): { Host: string } => ({ Host: new URL(world.url).host });
const PATHS = [
  '/subscriptions',
  '/health/live',
  '/health/ready',
  '/metrics',
  '/docs',
  '/docs-json',
  '/problems',
  '/access/keys',
  '/nothing',
];

describe('while access is open', () => {
  test.each(PATHS)('%s is not read under a name that another site lets point to this machine', async (path) => {
    const { status, body } = await send(`GET ${path} HTTP/1.1`, { Host: 'rebind.evil.example' });
    expect([status, JSON.parse(body)]).toEqual([
      403,
      expect.objectContaining({ type: '/problems/forbidden', detail: expect.stringMatching(/^Access is open, and the Host/) }),
    ]);
  });

  test.each([
    ['another name', 'DELETE', { Host: 'rebind.evil.example' }],
    ['another site', 'DELETE', { Origin: 'https://evil.example' }],
    ['a page without an origin', 'DELETE', { Origin: 'null' }],
    ['an image of another site', 'GET', { 'Sec-Fetch-Site': 'cross-site' }],
    ['a link of a neighbour', 'GET', { 'Sec-Fetch-Site': 'same-site' }],
    ['another name, with a method that the path does not have', 'PUT', { Host: 'rebind.evil.example' }, '/health/live'],
    ['another site, before its request', 'OPTIONS', { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'DELETE' }],
  ] as [string, string, Record<string, string>, string?][])(
    'a request is refused from %s',
    async (_, method, headers, path = '/subscriptions/victim@example.com') => {
      await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('victim@example.com', 'active') ON CONFLICT DO NOTHING`);
      expect((await send(`${method} ${path} HTTP/1.1`, { ...OWN(), ...headers })).status).toBe(403);
      expect((await world.db1.query(`SELECT FROM subscriptions WHERE email = 'victim@example.com'`)).rowCount).toBe(1);
    },
  );

  test('programs, probes, the page of the documentation and allowed sites are served', async () => {
    const served = async (path: string, headers: Record<string, string>, version = '1.1'): Promise<number> =>
      (await send(`GET ${path} HTTP/${version}`, headers)).status;
    for (const path of PATHS.slice(0, -1)) expect([path, await served(path, OWN())]).toEqual([path, 200]);
    expect(await served('/health/live', { Host: 'localhost' })).toBe(200);
    expect(await served('/health/live', { Host: '[::1]:3000' })).toBe(200);
    expect(await served('/health/live', {}, '1.0')).toBe(200);
    expect(await served('/subscriptions', { ...OWN(), Origin: world.url, 'Sec-Fetch-Site': 'same-origin' })).toBe(200);
    expect(await served('/docs', { ...OWN(), 'Sec-Fetch-Site': 'none' })).toBe(200);
    expect(await served('/subscriptions', { ...OWN(), Origin: 'https://app.example.com', 'Sec-Fetch-Site': 'cross-site' })).toBe(200);
  });

  test('with ACCESS=required any name may be used, as the credential protects', async () => {
    const beside = await world.startBeside({ servers: [['api']], env: { ACCESS: 'required' } });
    try {
      const { hostname, port } = new URL(beside.url);
      const socket = connect(Number(port), hostname);
      socket.write('GET /health/live HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n');
      expect(await text(socket)).toMatch(/^HTTP\/1.1 200 /);
    } finally {
      await beside.stop();
    }
  });
});

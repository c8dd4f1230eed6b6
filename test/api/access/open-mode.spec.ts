import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { callCli } from '../../harness/command-line.js';
import { bearer, keysIn, makeKey, TESTER } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { ServerProcess } from '../../harness/server-process.js';
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

describe('a key that was made while access was open', () => {
  interface Made {
    readonly id: string;
    readonly key: string;
    readonly created_in_open_mode: boolean;
  }
  let required: World;

  const post = async (path: string, body: object): Promise<Made> => {
    const response = await fetch(world.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(201);
    return (await response.json()) as Made;
  };
  const make = (name: string): Promise<Made> => post('/access/keys', { name, scopes: ['read', 'export', 'admin'] });
  const cli = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
    callCli(['keys', ...args], world.environment());
  async function use(key: string): Promise<{ status: number; detail?: string }> {
    const response = await fetch(`${required.url}/subscriptions`, { headers: bearer(key) });
    return { status: response.status, ...((await response.json()) as { detail?: string }) };
  }

  beforeAll(async () => {
    required = await world.startBeside({
      servers: [['api']],
      env: { ACCESS: 'required', AUTH_FAILURES_PER_ADDRESS: '0' },
      timings: { auth: DEFAULT_TIMINGS.auth },
    });
  });
  afterAll(() => required.stop());

  test('is refused once access is required, until an operator keeps it', async () => {
    const { id, key, created_in_open_mode } = await make('planted');
    expect(created_in_open_mode).toBe(true);
    expect(await use(key)).toMatchObject({
      status: 401,
      detail: `The API key was made while access was open, and is not valid until an operator keeps it: npx subscription-sync keys keep ${id}`,
    });
    expect((await cli('list')).stdout).toMatch(new RegExp(`ssk_${id} .* made in open mode, NOT KEPT`));
    expect(await cli('keep', id)).toMatchObject({ code: 0, stdout: expect.stringContaining(`Key ${id} is kept`) });
    await eventually(async () => (await use(key)).status === 200, 10_000);
    expect((await cli('list')).stdout).toMatch(new RegExp(`ssk_${id} .* made in open mode, kept `));
  });

  test('passes that on to the key that replaces it', async () => {
    const { id } = await make('rotated');
    const next = await post(`/access/keys/${id}/rotate`, {});
    expect([next.created_in_open_mode, (await use(next.key)).status]).toEqual([true, 401]);
    const byOperator = (await keysIn(world.db1).rotate(next.id, 0, TESTER))!;
    expect([byOperator.created_in_open_mode, (await use(byOperator.key)).status]).toEqual([true, 401]);
    expect((await cli('keep', byOperator.id)).code).toBe(0);
    const kept = (await keysIn(world.db1).rotate(byOperator.id, 0, TESTER))!;
    expect([kept.created_in_open_mode, (await use(kept.key)).status]).toEqual([false, 200]);
  });

  test('is also the one by which open access replaces a key of the command line, which itself stays valid', async () => {
    const key = await makeKey(world.db1, 'read', 'export');
    const id = key.split('_')[1]!;
    expect((await use(key)).status).toBe(200);
    const next = await post(`/access/keys/${id}/rotate`, { overlap: 600 });
    expect([(await use(key)).status, (await use(next.key)).status]).toEqual([200, 401]);
    expect(await cli('keep', id)).toMatchObject({ code: 1, stderr: expect.stringContaining('there is nothing to keep') });
  });

  test('is named in the log when a process starts with ACCESS=required', async () => {
    const { id } = await make('reported');
    const server = await ServerProcess.start({ ...world.environment(['api']), LOG_LEVEL: 'warn', ACCESS: 'required' });
    await eventually(() => server.output.includes('keys keep'));
    expect(await server.signal('SIGTERM')).toBe(0);
    const lines = server.output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(lines).toEqual([
      expect.objectContaining({ level: 'warn', context: 'access', msg: expect.stringContaining(`reported (${id})`) }),
    ]);
    expect(lines[0]!.msg).toMatch(/^API keys that were made while access was open are refused: /);
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { bearer, makeKey } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { World, type WorldOptions } from '../../harness/world.js';

let home: World;
let world: World;

beforeAll(async () => {
  home = await World.create();
});
afterAll(() => home.close());
afterEach(() => world.stop());

/** Early enough in a minute for a test to be within one. */
async function start(env: Record<string, string>, servers: WorldOptions['servers'] = [['api']]): Promise<void> {
  world = home.beside({ servers, env: { ACCESS: 'required', TRUSTED_PROXIES: '127.0.0.1', ...env } });
  await world.start();
  await world.ready();
  await eventually(() => Date.now() % 60_000 < 50_000);
}

const ask = (authorization: Record<string, string>, from = '198.51.100.1', url = world.url): Promise<Response> =>
  fetch(`${url}/subscriptions`, { headers: { ...authorization, 'x-forwarded-for': from } });

async function statuses(times: number, one: (i: number) => Promise<Response>): Promise<Record<number, number>> {
  const counts: Record<number, number> = {};
  for (let i = 0; i < times; i += 1) {
    const { status } = await one(i);
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

describe('per key', () => {
  test('429 says when to come back; another key is not concerned', async () => {
    await start({ RATE_LIMIT_PER_KEY: '20' });
    const key = await makeKey(home.db1, 'read');
    const first = await ask(bearer(key));
    expect(first.headers.get('ratelimit-policy')).toBe('"key";q=20;w=60');
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=19;t=\d+$/);
    expect(await statuses(29, () => ask(bearer(key)))).toEqual({ 200: 19, 429: 10 });
    const last = await ask(bearer(key));
    const seconds = Number(last.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(last.headers.get('ratelimit')).toMatch(/^"key";r=0;t=\d+$/);
    expect(await last.json()).toMatchObject({ status: 429, detail: `Too many requests with this credential. Try again in ${seconds} s` });
    expect((await ask(bearer(await makeKey(home.db1, 'read')))).status).toBe(200);
  });

  test('two processes share it, but for a twentieth', async () => {
    await start({ RATE_LIMIT_PER_KEY: '100' }, [['api'], ['api']]);
    const key = await makeKey(home.db1, 'read');
    const counts = await statuses(150, (i) => ask(bearer(key), undefined, world.urls[i % 2]));
    expect(counts[200]).toBeLessThanOrEqual(110);
    expect(counts[200]).toBeGreaterThanOrEqual(90);
  });

  test('the table has neither names nor addresses', async () => {
    const { rows } = await home.db1.query('SELECT DISTINCT length(subject) AS length FROM rate_limits');
    expect(rows).toEqual([{ length: 43 }]);
  });
});

describe('per address', () => {
  test('all keys behind it together, a /64 being one address', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '20' });
    const key = await makeKey(home.db1, 'read');
    expect(await statuses(25, (i) => ask(bearer(key), `2001:db8:0:1::${i + 1}`))).toEqual({ 200: 20, 429: 5 });
    expect((await ask(bearer(key), '2001:db8:0:2::1')).status).toBe(200);
    expect((await ask(bearer(key), '198.51.100.7')).status).toBe(200);
  });

  test('health and metrics are never limited', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '1' });
    expect(await statuses(5, () => fetch(`${world.url}/health/live`))).toEqual({ 200: 5 });
    expect(await statuses(5, () => fetch(`${world.url}/metrics`))).toEqual({ 200: 5 });
  });

  test('who fails too often is not listened to, and does not lock out others behind the address', async () => {
    await start({ AUTH_FAILURES_PER_ADDRESS: '5' });
    const key = await makeKey(home.db1, 'read');
    expect((await ask(bearer(key), '203.0.113.5')).status).toBe(200);
    const guess = (): Promise<Response> => ask(bearer(`ssk_0123456789abcdef_${'A'.repeat(43)}`), '203.0.113.5');
    expect(await statuses(12, guess)).toEqual({ 401: 5, 429: 7 });
    expect((await ask(bearer(key), '203.0.113.5')).status).toBe(200);
    // One that is not known here is not looked up.
    const unknown = await makeKey(home.db1, 'read');
    expect((await ask(bearer(unknown), '203.0.113.5')).status).toBe(429);
    expect((await ask(bearer(unknown), '203.0.113.6')).status).toBe(200);
  });
});

test('X-Forwarded-For of one who is no trusted proxy counts for nothing', async () => {
  await start({ RATE_LIMIT_PER_ADDRESS: '20', TRUSTED_PROXIES: '10.0.0.0/8' });
  const key = await makeKey(home.db1, 'read');
  expect(await statuses(25, (i) => ask(bearer(key), `198.51.100.${i}`))).toEqual({ 200: 20, 429: 5 });
});

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { bearer, makeKey } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { World, type WorldOptions } from '../../harness/world.js';

let home: World;
let world: World;

beforeAll(async () => {
  home = await World.shared();
});
afterAll(() => home.close());
afterEach(() => world.stop());

/** The window began in 1970 and ends in 2096, so that no window ends during a test. */
const WINDOW_S = 4_000_000_000;
const TIMINGS = { auth: { ...DEFAULT_TIMINGS.auth, rateLimitWindowMs: WINDOW_S * 1_000 } };

async function start(env: Record<string, string>, servers: WorldOptions['servers'] = [['api']]): Promise<void> {
  const access = { ACCESS: 'required', TRUSTED_PROXIES: '127.0.0.1' };
  // Processes before have counted requests of the same addresses.
  await home.db1.query('TRUNCATE subscription_sync.rate_limits');
  world = await home.startBeside({ servers, timings: TIMINGS, env: { ...access, ...env } });
}

const list = (authorization: Record<string, string>, from = '198.51.100.1', url = world.url): Promise<Response> =>
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
  test('429 reports when to retry, and does not affect another key', async () => {
    await start({ RATE_LIMIT_PER_KEY: '20' });
    const key = await makeKey(home.db1, 'export');
    const first = await list(bearer(key));
    expect(first.headers.get('ratelimit-policy')).toBe(`"key";q=20;w=${WINDOW_S}`);
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=19;t=\d+$/);
    expect(await statuses(29, () => list(bearer(key)))).toEqual({ 200: 19, 429: 10 });
    const last = await list(bearer(key));
    const seconds = Number(last.headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(WINDOW_S);
    expect(last.headers.get('ratelimit')).toMatch(/^"key";r=0;t=\d+$/);
    expect(await last.json()).toMatchObject({ status: 429, detail: `Too many requests with this credential. Try again in ${seconds} s` });
    expect((await list(bearer(await makeKey(home.db1, 'export')))).status).toBe(200);
  });

  test('two processes share the limit, up to a twentieth each', async () => {
    await start({ RATE_LIMIT_PER_KEY: '100' }, [['api'], ['api']]);
    const key = await makeKey(home.db1, 'export');
    const counts = await statuses(150, (i) => list(bearer(key), undefined, world.urls[i % 2]));
    expect(counts[200]).toBeLessThanOrEqual(110);
    expect(counts[200]).toBeGreaterThanOrEqual(90);
  });

  test('one key cannot take all event streams of a process', async () => {
    await start({ EVENT_STREAMS: '8' });
    const keys = [await makeKey(home.db1, 'read', 'export'), await makeKey(home.db1, 'read', 'export')];
    const left = new AbortController();
    const open = (key: string): Promise<Response> =>
      fetch(`${world.url}/events/stream?after=now`, { headers: bearer(key), signal: left.signal });
    const opened = [await open(keys[0]!), await open(keys[0]!), await open(keys[0]!), await open(keys[1]!)];
    expect(opened.map(({ status }) => status)).toEqual([200, 200, 429, 200]);
    expect(await opened[2]!.json()).toMatchObject({
      type: '/problems/too-many-requests',
      detail: expect.stringContaining('2 event streams'),
    });
    left.abort();
    await eventually(async () => (await list(bearer(keys[0]!))).status === 200);
  });

  test('the table stores neither names nor addresses', async () => {
    const { rows } = await home.db1.query('SELECT DISTINCT length(subject) AS length FROM subscription_sync.rate_limits');
    expect(rows).toEqual([{ length: 43 }]);
  });
});

describe('per address', () => {
  test('all keys of an address are counted together, and an IPv6 /64 is one address', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '20' });
    const key = await makeKey(home.db1, 'export');
    expect(await statuses(25, (i) => list(bearer(key), `2001:db8:0:1::${i + 1}`))).toEqual({ 200: 20, 429: 5 });
    expect((await list(bearer(key), '2001:db8:0:2::1')).status).toBe(200);
    expect((await list(bearer(key), '198.51.100.7')).status).toBe(200);
  });

  test('it is the same address in every spelling, and with a port', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '20' });
    const key = await makeKey(home.db1, 'read', 'export');
    const spellings = [
      (i: number) => `198.51.100.9:${1_000 + i}`,
      (i: number) => `[::ffff:198.51.100.9]:${i}`,
      () => '::FFFF:c633:6409',
      () => '198.51.100.9',
      (i: number) => `203.0.113.${i}, 198.51.100.9`,
    ];
    expect(await statuses(25, (i) => list(bearer(key), spellings[i % spellings.length]!(i)))).toEqual({ 200: 20, 429: 5 });
    expect((await list(bearer(key), '198.51.100.10')).status).toBe(200);
  });

  test('what is not an address counts as the proxy, so that new ones cannot be made up', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '20', TRUSTED_PROXIES: '127.0.0.1,10.9.9.9' });
    const key = await makeKey(home.db1, 'read', 'export');
    expect(await statuses(25, (i) => list(bearer(key), `made-up-${i}, 10.9.9.9`))).toEqual({ 200: 20, 429: 5 });
    expect((await list(bearer(key), '198.51.100.10')).status).toBe(200);
  });

  test('health and metrics are never limited', async () => {
    await start({ RATE_LIMIT_PER_ADDRESS: '1' });
    expect(await statuses(5, () => fetch(`${world.url}/health/live`))).toEqual({ 200: 5 });
    expect(await statuses(5, () => fetch(`${world.url}/metrics`))).toEqual({ 200: 5 });
  });

  test('an address with too many failures is refused unknown keys, but keys that are cached still work', async () => {
    await start({ AUTH_FAILURES_PER_ADDRESS: '5' });
    const key = await makeKey(home.db1, 'export');
    expect((await list(bearer(key), '203.0.113.5')).status).toBe(200);
    const guess = (): Promise<Response> => list(bearer(`ssk_0123456789abcdef_${'A'.repeat(43)}`), '203.0.113.5');
    expect(await statuses(12, guess)).toEqual({ 401: 5, 429: 7 });
    expect((await list(bearer(key), '203.0.113.5')).status).toBe(200);
    // A key that is not cached is not looked up.
    const unknown = await makeKey(home.db1, 'export');
    expect((await list(bearer(unknown), '203.0.113.5')).status).toBe(429);
    expect((await list(bearer(unknown), '203.0.113.6')).status).toBe(200);
  });
});

test('X-Forwarded-For is ignored unless it comes from a trusted proxy', async () => {
  await start({ RATE_LIMIT_PER_ADDRESS: '20', TRUSTED_PROXIES: '10.0.0.0/8' });
  const key = await makeKey(home.db1, 'export');
  expect(await statuses(25, (i) => list(bearer(key), `198.51.100.${i}`))).toEqual({ 200: 20, 429: 5 });
});

import { randomUUID } from 'node:crypto';
import { request as rawRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { bearer, Issuer, keysIn, makeKey, TESTER } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { TcpProxy } from '../../harness/tcp-proxy.js';
import { World } from '../../harness/world.js';
import { NDJSON, ndjson } from '../import-export/send-file.js';

/** Maximum time (ms) from the end of a credential to the end of what it began, as documented, and the tests' own delay. */
const WITHIN_MS = 5_000 + 1_000;
/** Time (ms) for which keys are cached. What takes long is checked beside the cache. */
const CACHE_MS = 500;

let issuer: Issuer;
let world: World;

beforeAll(async () => {
  issuer = await Issuer.start();
  const shared = await World.shared();
  world = await shared.startBeside({
    servers: [['api']],
    env: { ...issuer.environment, ACCESS: 'required', EVENT_STREAMS: '8' },
    timings: { auth: { ...DEFAULT_TIMINGS.auth, keyCacheTtlMs: CACHE_MS, keyCacheRefreshMs: CACHE_MS / 2 } },
  });
  await world.db1.query(
    `INSERT INTO subscriptions (email, status, metadata)
     SELECT 'export' || i || '@example.com', 'active', jsonb_build_object('big', repeat('x', 5000)) FROM generate_series(1, 5000) i`,
  );
});
afterAll(async () => {
  await world.stop();
  await issuer.stop();
});

const idOf = (key: string): string => key.split('_')[1]!;

/** Each function returns a credential that is valid now, and a function that ends it and resolves when it has ended. */
const ENDS: Record<string, () => Promise<{ credential: string; end: () => Promise<unknown> }>> = {
  'a key that is revoked': async () => {
    const credential = await makeKey(world.db1, 'read', 'export', 'write');
    return { credential, end: () => keysIn(world.db1).revoke(idOf(credential), TESTER) };
  },
  'a key that expires': async () => {
    const credential = await makeKey(world.db1, 'read', 'export', 'write');
    const expire = 'UPDATE subscription_sync.api_keys SET expires_at = clock_timestamp() WHERE id = $1';
    return { credential, end: () => world.db1.query(expire, [idOf(credential)]) };
  },
  'a key that is rotated without overlap': async () => {
    const credential = await makeKey(world.db1, 'read', 'export', 'write');
    return { credential, end: () => keysIn(world.db1).rotate(idOf(credential), 0, TESTER) };
  },
  'a token that expires': async () => {
    const exp = Math.floor(Date.now() / 1_000) + 5;
    const credential = await issuer.token({ exp, scope: 'read export write' });
    return { credential, end: () => eventually(() => Date.now() >= exp * 1_000) };
  },
};

/** Reads to the end, as slowly as a client whose network has 3 MB a second. */
async function readSlowly(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    await delay(value.length / 3_000);
  }
}

const open = (path: string, credential: string): Promise<Response> => fetch(`${world.url}${path}`, { headers: bearer(credential) });

describe.each(Object.keys(ENDS))('%s', (what) => {
  test('ends its event stream properly', async () => {
    const { credential, end } = await ENDS[what]!();
    const response = await open('/events/stream?after=now', credential);
    expect(response.status).toBe(200);
    const read = response.text();
    await end();
    const endedAt = Date.now();
    expect(await read).toMatch(/^retry: 1000/);
    expect(Date.now() - endedAt).toBeLessThan(WITHIN_MS);
    expect((await open('/subscriptions', await makeKey(world.db1, 'read', 'export'))).status).toBe(200);
  });

  test('cuts its export off, so that the client sees that it is incomplete', async () => {
    const { credential, end } = await ENDS[what]!();
    const response = await open('/subscriptions/export', credential);
    expect(response.status).toBe(200);
    const reader = response.body!.getReader();
    await reader.read();
    await end();
    const endedAt = Date.now();
    await expect(readSlowly(reader)).rejects.toThrow();
    expect(Date.now() - endedAt).toBeLessThan(WITHIN_MS);
  });

  test('stops its import, with the number of lines that are done', async () => {
    const { credential, end } = await ENDS[what]!();
    const id = randomUUID();
    const rows = Array.from({ length: 1_500 }, (_, i) => ({ email: `${id}-${i}@example.com`, status: 'active' }));
    const sent = rawRequest(`${world.url}/subscriptions/import?id=${id}`, {
      method: 'POST',
      headers: { ...bearer(credential), 'content-type': NDJSON },
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => sent.on('response', resolve).on('error', reject));
    sent.write(ndjson(rows));
    const job = async (): Promise<Record<string, unknown>> => {
      const { rows: found } = await world.db1.query(
        'SELECT state, lines::int, created::int, error FROM subscription_sync.imports WHERE id = $1',
        [id],
      );
      return found[0] as Record<string, unknown>;
    };
    await eventually(async () => (await job())?.['lines'] === 1_500);
    await end();
    const endedAt = Date.now();
    // The client pauses, and does not end the file.
    const response = await answered;
    expect(Date.now() - endedAt).toBeLessThan(WITHIN_MS);
    const problem = JSON.parse(await text(response)) as Record<string, unknown>;
    expect([response.statusCode, response.headers['www-authenticate']]).toEqual([401, expect.stringContaining('error="invalid_token"')]);
    expect(problem).toMatchObject({ type: '/problems/unauthorized', import: id });
    expect(problem['detail']).toMatch(
      new RegExp(`^The import ended with its credential: The (API key|token) .*\\. Lines done before that: 1500 \\(import ${id}\\)$`),
    );
    expect(await job()).toEqual({
      state: 'failed',
      lines: 1_500,
      created: 1_500,
      error: expect.stringMatching(/^The credential of the import ended: The /),
    });
    sent.destroy();
  });
});

test('a write whose body takes long is refused when its key was revoked meanwhile', async () => {
  const key = await makeKey(world.db1, 'write');
  const body = JSON.stringify({ status: 'active' });
  const sent = rawRequest(`${world.url}/subscriptions/trickled@example.com`, {
    method: 'PUT',
    headers: { ...bearer(key), 'content-type': 'application/json', 'content-length': body.length },
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => sent.on('response', resolve).on('error', reject));
  sent.write(body.slice(0, 5));
  const lastUsed = 'SELECT FROM subscription_sync.api_keys WHERE id = $1 AND last_used_at IS NOT NULL';
  await eventually(async () => (await world.db1.query(lastUsed, [idOf(key)])).rowCount === 1);
  const checkedAt = Date.now();
  await keysIn(world.db1).revoke(idOf(key), TESTER);
  await eventually(() => Date.now() > checkedAt + CACHE_MS);
  sent.end(body.slice(5));
  const response = await answered;
  expect([response.statusCode, JSON.parse(await text(response))]).toEqual([
    401,
    expect.objectContaining({ detail: 'The API key is revoked' }),
  ]);
  expect((await world.db1.query(`SELECT FROM subscriptions WHERE email = 'trickled@example.com'`)).rowCount).toBe(0);
});

test('a stream ends when its key cannot be checked any more, as a request with it would be refused', async () => {
  const { host, port } = world.addresses.db1;
  const proxy = await TcpProxy.to({ host, port });
  const beside = world.beside({
    servers: [['api']],
    env: { ACCESS: 'required', DB1_PORT: String(proxy.port), DB1_HOST: '127.0.0.1' },
    timings: { auth: { ...DEFAULT_TIMINGS.auth, credentialCheckMs: 100, credentialCheckTimeoutMs: 1_000 } },
  });
  try {
    await beside.start();
    await beside.ready();
    const stream = async (): Promise<Response> =>
      fetch(`${beside.url}/events/stream?after=now`, { headers: bearer(await makeKey(world.db1, 'read', 'export')) });
    const first = await stream();
    expect(first.status).toBe(200);
    await proxy.set({ kind: 'black-hole' });
    const began = Date.now();
    // The stream waits for Database 1 itself, so it may have to be cut off.
    await first.text().catch(() => undefined);
    expect(Date.now() - began).toBeLessThan(WITHIN_MS);
  } finally {
    await proxy.close();
    await beside.stop();
  }
});

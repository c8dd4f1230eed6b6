import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type request from 'supertest';
import { DataSource } from 'typeorm';
import { db1ConnectionOptions } from '#postgres';
import { deleteOldIdempotencyKeys } from '#subscriptions';
import { changesOf } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';
import { SubscriptionsClient } from './client.js';

let world: World;
const api = new SubscriptionsClient(() => world.url);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

let keys = 0;
function newKey(): string {
  keys += 1;
  return `key-${keys}`;
}

async function changesOfEmail(email: string): Promise<number> {
  return (await changesOf(world.db1)).filter((change) => change.email === email).length;
}

function essenceOf({ status, text, headers }: request.Response): unknown {
  const { etag, location } = headers;
  return { status, text, etag, location, version: headers['subscription-version'], type: headers['content-type'] };
}

const WRITES = {
  post: (email: string) => api.post({ email, status: 'active' }),
  put: (email: string) => api.put(email, { status: 'paused' }),
  patch: (email: string) => api.patch(email, { plan: 'pro' }),
  delete: (email: string) => api.delete(email),
};

test.each(['post', 'put', 'patch', 'delete'] as const)(
  '%s repeated with the same key returns the first response and has no second effect',
  async (method) => {
    const email = method === 'post' ? api.newEmail() : await api.existing();
    const key = newKey();
    const first = await WRITES[method](email).set('idempotency-key', key);
    expect(first.ok).toBe(true);
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    // Changes that others make meanwhile do not appear in the response, and are not undone.
    await world.db1.query(`UPDATE subscriptions SET metadata = '{"later": true}' WHERE email = $1`, [email]);
    const changes = await changesOfEmail(email);
    const second = await WRITES[method](email).set('idempotency-key', key);
    expect(essenceOf(second)).toEqual(essenceOf(first));
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(await changesOfEmail(email)).toBe(changes);
  },
);

test('a replay does not check preconditions: they held when the request was executed', async () => {
  const email = await api.existing();
  const etag = await api.etagOf(email);
  const send = (): request.Test => api.patch(email, { plan: 'x' }).set({ 'idempotency-key': 'conditional', 'if-match': etag });
  const first = await send().expect(200);
  expect((await send().expect(200)).body).toEqual(first.body);
});

test('the same key for another request is 422', async () => {
  const email = await api.existing();
  const key = newKey();
  await api.patch(email, { plan: 'a' }).set('idempotency-key', key).expect(200);
  for (const other of [
    api.patch(email, { plan: 'b' }),
    api.patch(await api.existing(), { plan: 'a' }),
    api.put(email, { status: 'active', plan: 'a' }),
    api.delete(email),
  ]) {
    const { body } = await other.set('idempotency-key', key).expect(422);
    expect(body).toMatchObject({ type: '/problems/idempotency-key-reused', status: 422 });
  }
  expect((await api.get(email)).body).toMatchObject({ plan: 'a' });
});

test('a refusal is not stored: a repeated request is executed', async () => {
  const email = await api.existing();
  const key = newKey();
  await WRITES.post(email).set('idempotency-key', key).expect(409);
  await api.delete(email).expect(204);
  await WRITES.post(email).set('idempotency-key', key).expect(201);
  expect((await WRITES.post(email).set('idempotency-key', key).expect(201)).headers['idempotency-replayed']).toBe('true');
});

test('while a request with the key is being answered, another one is 409 at once', async () => {
  const email = await api.existing();
  const key = newKey();
  const client = await world.db1.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM subscriptions WHERE email = $1 FOR UPDATE', [email]);
  const waiting = WRITES.patch(email).set('idempotency-key', key).then();
  await world.waitForLock();
  const { body, headers } = await WRITES.patch(email).set('idempotency-key', key).expect(409);
  expect(body).toMatchObject({ type: '/problems/idempotency-key-in-use' });
  expect(headers['retry-after']).toBe('1');
  await client.query('COMMIT');
  client.release();
  expect((await waiting).status).toBe(200);
  expect((await WRITES.patch(email).set('idempotency-key', key).expect(200)).headers['idempotency-replayed']).toBe('true');
});

test('50 parallel POSTs with one key have one effect, and all get its response', async () => {
  const email = api.newEmail();
  const key = newKey();
  const untilDone = async (): Promise<request.Response> => {
    for (;;) {
      const answer = await WRITES.post(email).set('idempotency-key', key);
      if (answer.body.type !== '/problems/idempotency-key-in-use') return answer;
    }
  };
  const answers = await Promise.all(Array.from({ length: 50 }, untilDone));
  expect(new Set(answers.map((answer) => JSON.stringify(essenceOf(answer)))).size).toBe(1);
  expect(answers[0]!.status).toBe(201);
  expect(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
  expect(await changesOfEmail(email)).toBe(1);
});

test('when the process is killed between commit and response, a retry gets the original response and has no second effect', async () => {
  const email = api.newEmail();
  const proxy = await TcpProxy.to(world.addresses.db1);
  const throughProxy = { DB1_HOST: '127.0.0.1', DB1_PORT: String(proxy.port) };
  const first = await ServerProcess.start({ ...world.environment(['api']), LOG_LEVEL: 'silent', ...throughProxy });
  const throughFirst = new SubscriptionsClient(() => first.url);
  // The delay is long enough for the kill to come before the response to the commit.
  await proxy.set({ kind: 'latency', ms: 3_000 });
  const lost = throughFirst
    .post({ email, status: 'active' })
    .set('idempotency-key', 'killed')
    .then(
      () => 'answered',
      () => 'lost',
    );
  const { rows } = await eventually(async () => {
    const found = await world.db1.query<{ version: number }>('SELECT version::int FROM subscription_sync.changes WHERE email = $1', [
      email,
    ]);
    return found.rows.length > 0 ? found : undefined;
  });
  await first.signal('SIGKILL');
  expect(await lost).toBe('lost');
  await proxy.close();

  // Another process.
  const again = await api.post({ email, status: 'active' }).set('idempotency-key', 'killed').expect(201);
  expect(again.headers).toMatchObject({ 'idempotency-replayed': 'true', 'subscription-version': String(rows[0]!.version) });
  expect(again.body).toMatchObject({ email, version: rows[0]!.version });
  expect(await changesOfEmail(email)).toBe(1);
});

test.each(['', 'a b', 'ä', 'x'.repeat(256)])('400 for the key %j', async (key) => {
  const { body } = await WRITES.put(api.newEmail()).set('idempotency-key', key).expect(400);
  expect(body.errors).toMatchObject([{ field: 'Idempotency-Key' }]);
});

test('a key is forgotten after 24 hours, and its row is deleted', async () => {
  const email = await api.existing();
  const key = newKey();
  await api.patch(email, { plan: 'a' }).set('idempotency-key', key).expect(200);
  const age = (): Promise<unknown> =>
    world.db1.query(`UPDATE subscription_sync.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = $1`, [key]);
  await age();
  await api.patch(email, { plan: 'b' }).set('idempotency-key', key).expect(200);
  await age();
  const dataSource = await new DataSource(db1ConnectionOptions({ ...world.addresses.db1, database: world.name, poolSize: 1 })).initialize();
  expect(await deleteOldIdempotencyKeys(dataSource, new AbortController().signal)).toBe(1);
  await dataSource.destroy();
  const { rows } = await world.db1.query('SELECT FROM subscription_sync.idempotency_keys WHERE key = $1', [key]);
  expect(rows).toEqual([]);
});

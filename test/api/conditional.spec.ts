import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { changesOf } from '../harness/databases.js';
import { World } from '../harness/world.js';
import { SubscriptionsClient, pathOf } from './client.js';

let world: World;
const api = new SubscriptionsClient(() => world.url);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const WRITES = {
  put: (email: string) => api.put(email, { status: 'active', plan: 'new' }),
  patch: (email: string) => api.patch(email, { plan: 'new' }),
  delete: (email: string) => api.delete(email),
};

describe.each(['put', 'patch', 'delete'] as const)('%s', (method) => {
  const write = WRITES[method];
  const done = method === 'delete' ? 204 : 200;

  test.each([
    ['the ETag', (etag: string) => etag],
    ['the ETag among others', (etag: string) => `"x,y", "1" , W/"7",${etag}`],
    ['any', () => '*'],
  ])('If-Match of %s: the write succeeds and returns the new ETag and the version', async (_, header) => {
    const email = await api.existing();
    const before = await api.etagOf(email);
    const { headers } = await write(email).set('if-match', header(before)).expect(done);
    const { version } = (await changesOf(world.db1)).filter((change) => change.email === email).at(-1)!;
    expect(headers['subscription-version']).toBe(String(version));
    if (method === 'delete') expect(headers).not.toHaveProperty('etag');
    else expect([headers['etag'] === before, headers['etag']]).toEqual([false, await api.etagOf(email)]);
  });

  test.each([
    ['another ETag', () => '"9a0364b9e99bb480dd25e1f0284c8555"'],
    ['a weak tag', (etag: string) => `W/${etag}`],
    ['the start of the ETag', (etag: string) => `${etag.slice(0, -2)}"`],
  ])('If-Match of %s: 412 with the current ETag, and nothing is changed', async (_, header) => {
    const email = await api.existing();
    const before = await api.get(email);
    const { body, headers } = await write(email).set('if-match', header(before.headers['etag']!)).expect(412);
    expect(body).toMatchObject({ type: '/problems/precondition-failed', status: 412 });
    expect(headers['etag']).toBe(before.headers['etag']);
    expect((await api.get(email)).body).toEqual(before.body);
  });

  test('If-None-Match: 412 for the current ETag, weak or not, and for *; succeeds for another one', async () => {
    const email = await api.existing();
    const etag = await api.etagOf(email);
    for (const header of [etag, `W/${etag}`, '*']) await write(email).set('if-none-match', header).expect(412);
    expect(await api.etagOf(email)).toBe(etag);
    await write(email).set('if-none-match', '"other"').expect(done);
  });

  test('If-Match fails for an email without a subscription', async () => {
    for (const header of ['*', '"1"']) {
      const { headers } = await write(api.newEmail())
        .set('if-match', header)
        .expect(method === 'put' ? 412 : 404);
      expect(headers).not.toHaveProperty('etag');
    }
  });

  test.each(['42', '"42', '"1" "2"', '', '*, "1"', '"a"b'])('400 for If-Match: %j', async (header) => {
    const email = await api.existing();
    const { body } = await write(email).set('if-match', header).expect(400);
    expect(body.errors).toMatchObject([{ field: 'If-Match' }]);
  });
});

test('PUT with If-None-Match: * creates a subscription, and never replaces one', async () => {
  const email = api.newEmail();
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, i) => api.put(email, { status: 'active', plan: `p${i}` }).set('if-none-match', '*')),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 9 }, () => 412)]);
});

test('GET and HEAD: 304 for the ETag that the caller has, 412 for one that is not current', async () => {
  const email = await api.existing();
  const full = await api.get(email).expect(200);
  const etag = full.headers['etag']!;
  for (const read of [() => api.get(email), () => api.head(email)]) {
    for (const header of [etag, `W/${etag}`, `"1", ${etag}`, '*']) {
      const answer = await read().set('if-none-match', header).expect(304);
      expect(answer.headers['etag']).toBe(etag);
      expect(answer.text ?? '').toBe('');
    }
    await read().set('if-none-match', '"1"').expect(200);
    await read().set('if-match', '"1"').expect(412);
    await read().set('if-match', etag).expect(200);
  }
  const { headers, text } = await api.head(email).expect(200);
  expect(text ?? '').toBe('');
  expect(headers).toMatchObject({ etag, 'content-type': 'application/json; charset=utf-8' });
  expect(headers['content-length']).toBe(full.headers['content-length']);
  await api.head(api.newEmail()).expect(404);
});

/** Number of concurrent changes of one row: more than the pool has connections. */
const PATCHES = 40;

test(`${PATCHES} parallel PATCHes with If-Match, each retried until it succeeds, lose no update`, async () => {
  const email = await api.existing({ metadata: { n: 0 } });
  const url = world.url + pathOf(email);
  let refused = 0;
  const increment = async (): Promise<boolean> => {
    const read = await fetch(url);
    const { metadata } = (await read.json()) as { metadata: { n: number } };
    const { status } = await fetch(url, {
      method: 'PATCH',
      headers: { 'content-type': 'application/merge-patch+json', 'if-match': read.headers.get('etag')! },
      body: JSON.stringify({ metadata: { n: metadata.n + 1 } }),
    });
    if (status === 200) return true;
    expect(status).toBe(412);
    refused += 1;
    return false;
  };
  const first = await Promise.all(Array.from({ length: PATCHES }, increment));
  // Only one of the concurrent attempts succeeds. All at a time would make a request for each pair of them; ten at a time make fewer.
  let waiting = first.filter((done) => !done).length;
  const retry = async (): Promise<void> => {
    while (waiting > 0) {
      waiting -= 1;
      if (!(await increment())) waiting += 1;
    }
  };
  await Promise.all(Array.from({ length: 10 }, retry));
  expect((await api.get(email)).body.metadata).toEqual({ n: PATCHES });
  const changes = (await changesOf(world.db1)).filter((change) => change.email === email);
  expect(changes).toHaveLength(1 + PATCHES);
  expect(refused).toBeGreaterThan(0);
});

test('a precondition is checked against the row as it is after the writer has waited for its lock', async () => {
  const email = await api.existing();
  const etag = await api.etagOf(email);
  const client = await world.db1.connect();
  await client.query('BEGIN');
  await client.query(`UPDATE subscriptions SET plan = 'other' WHERE email = $1`, [email]);
  const waiting = api.patch(email, { plan: 'mine' }).set('if-match', etag).then();
  await world.waitForLock();
  await client.query('COMMIT');
  client.release();
  expect((await waiting).status).toBe(412);
  expect((await api.get(email)).body.plan).toBe('other');
});

describe('PATCH is a JSON merge patch', () => {
  test.each(['application/json', 'application/merge-patch+json'])('%s: metadata is merged, and null removes a member', async (type) => {
    const email = await api.existing({ plan: 'pro', metadata: { a: 1, b: { c: 2, d: [1, 2] }, e: null } });
    const { body } = await api
      .patch(email, { metadata: { a: null, b: { c: 3, x: { y: null, z: 1 } }, f: [null] } })
      .set('content-type', type)
      .expect(200);
    expect(body).toMatchObject({ plan: 'pro', metadata: { b: { c: 3, d: [1, 2], x: { z: 1 } }, e: null, f: [null] } });
    expect(Object.keys(body.metadata)).toEqual(expect.not.arrayContaining(['a']));
    expect((await api.patch(email, { metadata: { b: 'text' } })).body.metadata.b).toBe('text');
    expect((await api.patch(email, { metadata: {} })).body.metadata.b).toBe('text');
  });

  test('many patches can not make metadata larger than a single write may', async () => {
    const email = await api.existing({ metadata: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, i])) });
    const { body } = await api.patch(email, { metadata: { more: 1 } }).expect(400);
    expect(body.errors).toMatchObject([{ field: 'metadata', pointer: '/metadata' }]);
    await api.patch(email, { metadata: { more: 1, k0: null } }).expect(200);
    const bytes = await api.existing({ metadata: { a: 'x'.repeat(9_000) } });
    await api.patch(bytes, { metadata: { b: 'x'.repeat(9_000) } }).expect(400);
    await world.db1.query(`UPDATE subscriptions SET metadata = jsonb_build_object('sql', repeat('x', 30000), 'b', 1) WHERE email = $1`, [
      bytes,
    ]);
    await api.patch(bytes, { metadata: { b: null } }).expect(200);
  });

  test('other methods do not accept its content type', async () => {
    await api.post({ email: api.newEmail(), status: 'active' }).set('content-type', 'application/merge-patch+json').expect(415);
  });
});

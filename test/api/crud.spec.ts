import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { changesOf } from '../harness/databases.js';
import { World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);
const path = (email: string): string => `/subscriptions/${encodeURIComponent(email)}`;

function send(method: 'get' | 'put' | 'patch' | 'delete', email: string): request.Test {
  const agent = api();
  return agent[method](path(email));
}

let next = 0;
/** Returns an email that no other test uses. */
function newEmail(): string {
  next += 1;
  return `user${next}@example.com`;
}

async function existing(body: Record<string, unknown> = {}): Promise<string> {
  const email = newEmail();
  await api()
    .post('/subscriptions')
    .send({ email, status: 'active', ...body })
    .expect(201);
  return email;
}

describe.each(['/subscriptions', '/subscription_status'])('%s', (root) => {
  test('a subscription is created, read, listed, replaced, changed and deleted', async () => {
    const email = newEmail();
    const body = {
      email: ` ${email.toUpperCase()} `,
      status: 'trialing',
      plan: 'pro',
      access_until: '2027-01-31T12:00:00.123456+02:00',
      cancel_at_period_end: true,
      metadata: { source: 'web', nested: { list: [1, 2.5, null] } },
    };
    const created = await api().post(root).send(body).expect(201).expect('content-type', 'application/json; charset=utf-8');
    expect(created.body).toEqual({
      ...body,
      email,
      access_until: '2027-01-31T10:00:00.123456+00:00',
      version: expect.any(Number),
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/),
      updated_at: expect.any(String),
    });
    expect(created.headers).toMatchObject({
      etag: expect.stringMatching(/^"[\da-f]{32}"$/),
      'subscription-version': String(created.body.version),
      location: path(email),
    });

    const read = await api()
      .get(`${root}/${encodeURIComponent(email.toUpperCase())}`)
      .expect(200);
    const { version: _, ...row } = created.body as Record<string, unknown>;
    expect(read.body).toEqual(row);
    expect(read.headers['etag']).toBe(created.headers['etag']);

    const listed = await api().get(`${root}?status=trialing&limit=500`).expect(200);
    expect(listed.body.data).toContainEqual(row);

    const replaced = await api().put(`${root}/${email}`).send({ status: 'active' }).expect(200);
    expect(replaced.body).toMatchObject({
      email,
      status: 'active',
      plan: null,
      access_until: null,
      cancel_at_period_end: false,
      metadata: {},
    });
    expect(replaced.body.version).toBeGreaterThan(created.body.version);
    expect(replaced.body.created_at).toBe(created.body.created_at);

    const changed = await api().patch(`${root}/${email}`).send({ plan: 'basic' }).expect(200);
    expect(changed.body).toMatchObject({ status: 'active', plan: 'basic' });

    await api().delete(`${root}/${email}`).expect(204);
    await api().get(`${root}/${email}`).expect(404);
  });
});

test('PUT creates a subscription that does not exist', async () => {
  const { body } = await api().put(path(newEmail())).send({ status: 'paused' }).expect(201);
  expect(body).toMatchObject({ status: 'paused', plan: null });
});

test('PATCH with null clears nullable fields, and leaves absent fields unchanged', async () => {
  const email = await existing({ plan: 'pro', access_until: '2027-01-31T00:00:00Z', metadata: { a: 1 } });
  const { body } = await api().patch(path(email)).send({ plan: null }).expect(200);
  expect(body).toMatchObject({ plan: null, access_until: '2027-01-31T00:00:00+00:00', metadata: { a: 1 } });
});

test.each(['put', 'patch'] as const)('%s that changes nothing writes nothing: the version stays', async (method) => {
  const email = await existing({ plan: 'pro' });
  const before = await api().get(path(email));
  const { version } = (await changesOf(world.db1)).find((change) => change.email === email)!;
  const { body } = await send(method, email).send({ status: 'active', plan: 'pro' }).expect(200);
  expect(body).toEqual({ ...before.body, version });
});

test('an email that is already in use is 409, and its subscription is unchanged', async () => {
  const email = await existing({ plan: 'pro' });
  const answer = await api().post('/subscriptions').send({ email: email.toUpperCase(), status: 'canceled' }).expect(409);
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(answer.body).toMatchObject({ status: 409, errors: [{ field: 'email', detail: 'is already in use' }] });
  expect((await api().get(path(email))).body).toMatchObject({ status: 'active', plan: 'pro' });
});

test.each(['get', 'patch', 'delete'] as const)('%s of an unknown email is 404', async (method) => {
  const answer = await send(method, newEmail())
    .send(method === 'patch' ? {} : undefined)
    .expect(404);
  expect(answer.body).toMatchObject({ title: 'Not found', status: 404 });
});

test('an email may contain every character that a path must escape', async () => {
  const email = `o'b#r/i%e?n+tag&é@exämple.com`;
  await api().post('/subscriptions').send({ email, status: 'active' }).expect(201);
  const { body } = await api().get(path(email)).expect(200);
  expect(body).toMatchObject({ email });
});

test('the change log records the actor and the program', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const email = newEmail();
  await api().put(path(email)).set('traceparent', traceparent).send({ status: 'active' }).expect(201);
  await api().delete(path(email)).set('traceparent', 'nonsense').expect(204);
  const changes = (await changesOf(world.db1)).filter((change) => change.email === email);
  expect(changes).toMatchObject([
    { operation: 'created', origin: 'api', actor: 'api', application_name: 'subscription-sync', traceparent },
    { operation: 'deleted', origin: 'api', traceparent: null },
  ]);
});

test('pages of the list return every subscription once while others are created and deleted', async () => {
  const emails = await Promise.all(Array.from({ length: 7 }, () => existing({ status: 'expired' })));
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query: Record<string, string> = { status: 'expired', limit: '2', ...(cursor === null ? {} : { cursor }) };
    const { body } = await api().get('/subscriptions').query(query).expect(200);
    for (const row of body.data as { email: string }[]) seen.push(row.email);
    cursor = body.next_cursor as string | null;
    await api()
      .delete(path(seen.at(-1)!))
      .expect(204);
  } while (cursor !== null);
  expect(seen).toEqual(emails.sort());
});

test('of many concurrent requests that create the same email, exactly one succeeds', async () => {
  const email = newEmail();
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      api()
        .post('/subscriptions')
        .send({ email, status: 'active', plan: `p${i}` }),
    ),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 11 }, () => 409)]);
});

test('each of many concurrent changes and deletions of an email gets its true outcome', async () => {
  const email = await existing();
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      i % 3 === 0
        ? api().delete(path(email))
        : i % 3 === 1
          ? api()
              .put(path(email))
              .send({ status: 'paused', plan: `${i}` })
          : api()
              .patch(path(email))
              .send({ plan: `${i}` }),
    ),
  );
  expect(answers.filter(({ status }) => ![200, 201, 204, 404].includes(status))).toEqual([]);
  const versions = answers.filter(({ status }) => status === 200 || status === 201).map(({ body }) => Number(body.version));
  const logged = new Set((await changesOf(world.db1)).filter((change) => change.email === email).map(({ version }) => version));
  expect(versions.filter((version) => !logged.has(version))).toEqual([]);
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);

describe.each(['/subscriptions', '/subscription_status'])('%s/{email}/history', (root) => {
  test('lists each change with its actor, time, reason and program, newest first, also after the deletion', async () => {
    const email = `ada${root.length}@example.com`;
    await api()
      .put(`/subscriptions/${email}`)
      .send({ status: 'active', plan: 'pro', metadata: { a: 1 } })
      .expect(201);
    await world.db1.query(`
      BEGIN; SET LOCAL subscription_sync.actor = 'billing'; SET LOCAL subscription_sync.reason = 'invoice 4711 unpaid';
      UPDATE subscriptions SET status = 'past_due', metadata = '{"a": 1.50}' WHERE email = '${email}'; COMMIT`);
    await api().delete(`/subscriptions/${email}`).expect(204);
    const answer = await api().get(`${root}/${email.toUpperCase()}/history`).expect(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.body.next_cursor).toBeNull();
    const [deleted, updated, created] = answer.body.data;
    expect(deleted).toMatchObject({ operation: 'deleted', origin: 'api', changes: {}, subscription: { status: 'past_due' } });
    expect(updated).toEqual({
      version: expect.any(Number),
      operation: 'updated',
      occurred_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/),
      actor: 'billing',
      reason: 'invoice 4711 unpaid',
      origin: 'sql',
      database_user: 'postgres',
      application_name: 'other-program',
      traceparent: null,
      changes: { status: { from: 'active', to: 'past_due' }, metadata: { from: { a: 1 }, to: { a: 1.5 } } },
      subscription: expect.objectContaining({ email, status: 'past_due' }),
    });
    expect(created).toMatchObject({ operation: 'created', origin: 'api', actor: 'api', reason: null, subscription: { plan: 'pro' } });
    // The values are compact JSON with the digits of the event.
    expect(answer.text).toContain('"metadata":{"a":1.50}');
    expect(answer.text.replaceAll('1.50', '1.5')).toBe(JSON.stringify(answer.body));
  });
});

test('pages are stable while the subscription is changed', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, plan) VALUES ('many@example.com', 'p0')`);
  const change = (plan: number): Promise<unknown> =>
    world.db1.query(`UPDATE subscriptions SET plan = $1 WHERE email = 'many@example.com'`, [`p${plan}`]);
  for (let i = 1; i < 7; i += 1) await change(i);
  const plans: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body }: request.Response = await api()
      .get(`/subscriptions/many@example.com/history?limit=3${cursor && `&cursor=${cursor}`}`)
      .expect(200);
    plans.push(...body.data.map(({ subscription }: { subscription: { plan: string } }) => subscription.plan));
    cursor = body.next_cursor;
    await change(100 + plans.length);
  }
  expect(plans).toEqual(['p6', 'p5', 'p4', 'p3', 'p2', 'p1', 'p0']);
});

test('a page of large changes is shortened, and no change is left out', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('large@example.com')`);
  for (const i of [1, 2, 3]) {
    await world.db1.query(
      `UPDATE subscriptions SET metadata = jsonb_build_object('n', $1::int, 'big', repeat('x', 400000)) WHERE email = 'large@example.com'`,
      [i],
    );
  }
  const sizes: number[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body }: request.Response = await api()
      .get(`/subscriptions/large@example.com/history${cursor && `?cursor=${cursor}`}`)
      .expect(200);
    sizes.push(body.data.length);
    cursor = body.next_cursor;
  }
  expect(sizes.length).toBeGreaterThan(1);
  expect(sizes.reduce((sum, size) => sum + size)).toBe(4);
});

test('unknown emails are 404, invalid input is 400', async () => {
  await api().get('/subscriptions/nobody@example.com/history').expect(404);
  await api().get('/subscriptions/nobody/history').expect(400);
  await api().get('/subscriptions/many@example.com/history?cursor=x').expect(400);
  await api().get('/subscriptions/many@example.com/history?limit=0').expect(400);
});

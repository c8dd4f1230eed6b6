import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { allowedTransitions, STATUS_TRANSITIONS, STATUSES } from '#events';
import { changesOf } from '../harness/databases.js';
import { World } from '../harness/world.js';
import { SubscriptionsClient } from './client.js';

let world: World;
const api = new SubscriptionsClient(() => world.url);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

async function flagsOf(email: string): Promise<boolean[]> {
  const { rows } = await world.db1.query<{ transition_violation: boolean }>(
    'SELECT transition_violation FROM subscription_sync.changes WHERE email = $1 ORDER BY version',
    [email],
  );
  return rows.map(({ transition_violation }) => transition_violation);
}

test('the final statuses allow no transition', () => {
  expect([STATUS_TRANSITIONS.canceled.next, STATUS_TRANSITIONS.expired.next]).toEqual([[], []]);
});

test.each(STATUSES)('from %s: the API allows the transitions of the table, and refuses others with the allowed ones', async (from) => {
  for (const reactivate of [false, true]) {
    const allowed = allowedTransitions(STATUS_TRANSITIONS, from, reactivate);
    for (const to of STATUSES) {
      const write = async (method: 'put' | 'patch'): Promise<void> => {
        const email = await api.existing({ status: from });
        const { status, body } = await api[method](email, { status: to, ...(reactivate ? { reactivate } : {}) });
        if (to === from || allowed.includes(to)) {
          expect({ to, status, now: body.status }).toEqual({ to, status: 200, now: to });
        } else {
          expect({ to, status, body }).toMatchObject({ status: 409, body: { type: '/problems/illegal-transition', from, allowed } });
          expect((await api.get(email)).body.status).toBe(from);
        }
        expect(new Set(await flagsOf(email))).toEqual(new Set([false]));
      };
      await write('patch');
      if (!reactivate) await write('put');
    }
  }
});

test('a refusal from a final status lists what a reactivation would allow', async () => {
  const email = await api.existing({ status: 'canceled' });
  const { body } = await api.patch(email, { status: 'active' }).expect(409);
  expect(body).toMatchObject({ allowed: [], allowed_by_reactivation: ['pending', 'trialing', 'active'], errors: [{ pointer: '/status' }] });
  await api.patch(email, { plan: 'kept for the archive' }).expect(200);
  await api.patch(email, { status: 'active', reactivate: true }).expect(200);
});

test('an illegal transition by raw SQL is possible; it is flagged, and later transitions start from its status', async () => {
  const email = await api.existing({ status: 'canceled' });
  const sql = (text: string): Promise<unknown> => world.db1.query(text.replaceAll('$email', `'${email}'`));
  await sql(`UPDATE subscriptions SET status = 'active' WHERE email = $email`);
  await sql(`UPDATE subscriptions SET plan = 'pro' WHERE email = $email`);
  await sql(`UPDATE subscriptions SET status = 'on_holiday' WHERE email = $email`);
  await api.patch(email, { status: 'active' }).expect(200);
  await sql(`UPDATE subscriptions SET status = 'expired' WHERE email = $email`);
  await sql(
    `BEGIN; SET LOCAL subscription_sync.reactivate = 'on'; UPDATE subscriptions SET status = 'active' WHERE email = $email; COMMIT`,
  );
  await sql(`UPDATE subscriptions SET status = 'pending' WHERE email = $email`);
  expect(await flagsOf(email)).toEqual([false, true, false, true, false, false, false, true]);
});

test('the reason and the actor are logged with the write, and are not part of the subscription', async () => {
  const email = api.newEmail();
  const created = await api.post({ email, status: 'trialing', reason: 'signed up' }).expect(201);
  expect(created.body.reason).toBeUndefined();
  await api.put(email, { status: 'active', reason: 'paid' }).expect(200);
  await api.patch(email, { plan: 'pro', reason: 'upgrade' }).expect(200);
  await api.delete(email).query({ reason: 'asked for it' }).expect(204);
  const changes = (await changesOf(world.db1)).filter((change) => change.email === email);
  expect(changes.map(({ reason }) => reason)).toEqual(['signed up', 'paid', 'upgrade', 'asked for it']);
  expect(changes.every(({ actor, origin }) => actor === 'api' && origin === 'api')).toBe(true);
  for (const reason of ['', 'x'.repeat(501), 7, null, 'a\u0000']) {
    const { body } = await api.patch(email, { reason }).expect(400);
    expect(body.errors).toContainEqual({ field: 'reason', pointer: '/reason', detail: expect.any(String) });
  }
  await api
    .delete(email)
    .query({ reason: 'x'.repeat(501) })
    .expect(400);
  await api.post({ email, status: 'active', reactivate: true }).expect(400);
});

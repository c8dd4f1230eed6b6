import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type request from 'supertest';
import { allowedTransitions, STATUS_TRANSITIONS, STATUSES } from '#events';
import { SubscriptionsClient } from '../client.js';
import { changesOf } from '../../harness/databases.js';
import { World } from '../../harness/world.js';
import { NDJSON, ndjson, sendFile } from './send-file.js';

let world: World;
const api = new SubscriptionsClient(() => world.url);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const send = (file: string, type = NDJSON, query = ''): request.Test => sendFile(world.url, file, type, query);

function timesOf({ started_at, changed_at, finished_at }: Record<string, unknown>): object {
  return { started_at, changed_at, finished_at };
}

async function row(email: string): Promise<object | undefined> {
  return (await world.db1.query<object>('SELECT status, plan FROM subscriptions WHERE email = $1', [email])).rows[0];
}

const MOVES = STATUSES.flatMap((from) => STATUSES.flatMap((to) => [false, true].map((reactivate) => ({ from, to, reactivate }))));

test('each line is checked as a PUT is, also in a dry run, and the legal ones are written', async () => {
  await send(ndjson(MOVES.map(({ from }, i) => ({ email: `k${i}@example.com`, status: from })))).expect(201);
  const file = ndjson(MOVES.map(({ to, reactivate }, i) => ({ email: `K${i}@example.com`, status: to, plan: 'new', reactivate })));
  const legal = ({ from, to, reactivate }: (typeof MOVES)[number]): boolean =>
    from === to || allowedTransitions(STATUS_TRANSITIONS, from, reactivate).includes(to);
  const dry = await send(file, NDJSON, '?dry_run=true').expect(201);
  const { body } = await send(file).expect(201);
  const refused = MOVES.flatMap((move, i) => (legal(move) ? [] : [{ ...move, line: i + 1 }]));
  expect(refused.length).toBeGreaterThan(30);
  expect(body).toMatchObject({ lines: MOVES.length, updated: MOVES.length - refused.length, unchanged: 0, refused: refused.length });
  expect(body.errors.map(({ line }: { line: number }) => line)).toEqual(refused.map(({ line }) => line));
  expect(dry.body).toEqual({ ...body, dry_run: true, id: dry.body.id, ...timesOf(dry.body) });
  for (const [i, { from, to, reactivate, line }] of refused.entries()) {
    const put = await api.put(`k${line - 1}@example.com`, { status: to, reactivate }).expect(409);
    const { type, allowed, allowed_by_reactivation } = put.body;
    const error = { line, type, field: 'status', detail: expect.stringMatching(`^${to} may not follow ${from}`), from, allowed };
    expect(body.errors[i]).toEqual(allowed_by_reactivation ? { ...error, allowed_by_reactivation } : error);
  }
  const { rows } = await world.db1.query<{ status: string; plan: string | null }>(
    String.raw`SELECT status, plan FROM subscriptions WHERE email ~ '^k\d' ORDER BY substring(email FROM '\d+')::int`,
  );
  expect(rows).toEqual(MOVES.map((move) => (legal(move) ? { status: move.to, plan: 'new' } : { status: move.from, plan: null })));
  const { rows: flagged } = await world.db1.query(`SELECT FROM subscription_sync.changes WHERE email LIKE 'k%' AND transition_violation`);
  expect(flagged).toEqual([]);
});

test('an illegal transition lists the allowed statuses and how to reactivate', async () => {
  await send(ndjson([{ email: 'l1@example.com', status: 'canceled' }])).expect(201);
  const { body } = await send('email,status,reactivate\nl1@example.com,active,\nl2@example.com,active,maybe\n', 'text/csv').expect(201);
  expect(body.errors).toEqual([
    {
      line: 2,
      type: '/problems/illegal-transition',
      field: 'status',
      detail: 'active may not follow canceled: canceled is final; a line with reactivate true may also set pending, trialing, active',
      from: 'canceled',
      allowed: [],
      allowed_by_reactivation: ['pending', 'trialing', 'active'],
    },
    { line: 3, field: 'reactivate', detail: 'must be true or false' },
  ]);
  await send('email,reactivate,status\nl1@example.com,TRUE,active\n', 'text/csv').expect(201);
  expect(await row('l1@example.com')).toMatchObject({ status: 'active' });
});

test.each([
  ['in one batch', 0],
  ['in several', 1_100],
])('lines of one email are checked one after the other: %s', async (_, apart) => {
  const name = `m${apart}`;
  const lines = [
    { status: 'trialing' },
    { status: 'canceled' },
    { status: 'active', plan: 'refused' },
    { status: 'active', plan: 'back', reactivate: true },
    { status: 'pending', plan: 'refused' },
    { status: 'past_due', plan: 'last' },
  ];
  const between = (i: number): object[] =>
    Array.from({ length: apart }, (_, j) => ({ email: `${name}x${i}x${j}@example.com`, status: 'active' }));
  const file = ndjson(
    lines.flatMap((line, i) => [{ email: i % 2 ? `${name}@example.com` : ` ${name}@EXAMPLE.com`, ...line }, ...between(i)]),
  );
  const { body } = await send(file).expect(201);
  expect(body).toMatchObject({ created: 1 + 6 * apart, updated: 3, superseded: 0, refused: 2 });
  expect(body.errors).toMatchObject([
    { line: 3 + 2 * apart, from: 'canceled' },
    { line: 5 + 4 * apart, from: 'active' },
  ]);
  expect(await row(`${name}@example.com`)).toMatchObject({ status: 'past_due', plan: 'last' });
  const changes = (await changesOf(world.db1)).filter(({ email }) => email === `${name}@example.com`);
  expect(changes.map(({ operation }) => operation)).toEqual(['created', 'updated', 'updated', 'updated']);
});

test('of lines with the same status the last is written, and a line with reactivate may reactivate', async () => {
  await send(ndjson([{ email: 'n@example.com', status: 'expired' }])).expect(201);
  const active = { email: 'n@example.com', status: 'active' };
  const refused = await send(ndjson([active, { ...active, plan: 'refused' }])).expect(201);
  expect(refused.body).toMatchObject({ superseded: 1, refused: 1, errors: [{ line: 2, from: 'expired' }] });
  const { body } = await send(ndjson([{ ...active, reactivate: true }, active, { ...active, plan: 'pro' }])).expect(201);
  expect(body).toMatchObject({ updated: 2, superseded: 1, refused: 0 });
  expect(await row('n@example.com')).toMatchObject({ status: 'active', plan: 'pro' });
});

test('an import that runs beside other writers leaves no illegal transition', async () => {
  const emails = Array.from({ length: 300 }, (_, i) => `o${i}@example.com`);
  await send(ndjson(emails.map((email) => ({ email, status: 'active' })))).expect(201);
  const writes = emails.map((email) => api.patch(email, { status: 'canceled' }));
  const [imported] = await Promise.all([send(ndjson(emails.map((email) => ({ email, status: 'past_due' })))), ...writes]);
  expect(imported.body).toMatchObject({ lines: 300 });
  const { updated, refused } = imported.body as Record<'updated' | 'refused', number>;
  expect(updated + refused).toBe(300);
  const { rows } = await world.db1.query(`SELECT status, count(*)::int FROM subscriptions WHERE email ~ '^o\\d' GROUP BY 1`);
  expect(rows).toEqual([{ status: 'canceled', count: 300 }]);
  const { rows: flagged } = await world.db1.query(`SELECT FROM subscription_sync.changes WHERE email LIKE 'o%' AND transition_violation`);
  expect(flagged).toEqual([]);
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { World } from '../harness/world.js';

interface Row {
  readonly email: string;
  readonly status: string;
  readonly plan: string | null;
}

const ROWS = 4_000;
let world: World;
let all: Row[];

beforeAll(async () => {
  world = await World.shared();
  // The order of creation differs from the order of emails. The rows have a rare status, a rare plan, and emails that require byte order.
  await world.db1.query(
    `INSERT INTO subscriptions (email, status, plan)
     SELECT CASE WHEN n % 1000 = 7 THEN 'ä' || n || '@example.com' ELSE md5(n::text) || '@example.com' END,
            CASE WHEN n % 997 = 0 THEN 'paused' WHEN n % 2 = 0 THEN 'active' ELSE 'trialing' END,
            CASE WHEN n % 1500 = 1 THEN 'rare' WHEN n % 3 = 0 THEN 'pro' END
     FROM generate_series(1, ${ROWS}) n`,
  );
  await world.db1.query(`UPDATE subscriptions SET metadata = '{"later":1}' WHERE email LIKE 'a%'`);
  await world.db1.query('ANALYZE subscriptions');
  const { rows } = await world.db1.query<{ body: string }>('SELECT row_to_json(s)::text AS body FROM subscriptions s');
  all = rows.map(({ body }) => JSON.parse(body) as Row);
});
afterAll(() => world.close());

type Query = Record<string, string | string[]>;

/** Reads all pages; `pages` is their number. */
async function walk(query: Query, by: 'cursor' | 'link' = 'cursor'): Promise<{ rows: Row[]; pages: number }> {
  const rows: Row[] = [];
  const parameters = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) for (const value of [values].flat()) parameters.append(name, value);
  let next: string | undefined = `/subscriptions?${parameters.toString()}`;
  let pages = 0;
  while (next !== undefined) {
    const answer: Response = await fetch(new URL(next, world.url));
    expect(answer.status).toBe(200);
    const { data, next_cursor: cursor } = (await answer.json()) as { data: Row[]; next_cursor: string | null };
    const link: string | undefined = /^<(.*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    expect(data.length).toBeLessThanOrEqual(Number(query['limit'] ?? 100));
    expect(link === undefined).toBe(cursor === null);
    pages += 1;
    rows.push(...data);
    if (cursor !== null) parameters.set('cursor', cursor);
    next = cursor === null || by === 'link' ? link : `/subscriptions?${parameters.toString()}`;
  }
  return { rows, pages };
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const inOrder = (rows: readonly Row[]): Row[] => [...rows].sort((a, b) => byBytes(a.email, b.email));

describe('a list', () => {
  test.each(['', '-'])('returns every row once, in order (%s)', async (sign) => {
    const { rows, pages } = await walk({ sort: `${sign}email`, limit: '500' });
    expect(rows).toEqual(sign === '-' ? inOrder(all).reverse() : inOrder(all));
    expect(pages).toBe(ROWS / 500);
  });

  test.each<[string, Query, (row: Row) => boolean]>([
    ['a status', { status: 'active' }, ({ status }) => status === 'active'],
    ['many statuses, repeated', { status: ['active', 'paused'] }, ({ status }) => status !== 'trialing'],
    ['many statuses, by comma', { status: 'active,paused' }, ({ status }) => status !== 'trialing'],
    ['a repeated status', { status: ['active', 'active'] }, ({ status }) => status === 'active'],
    ['a rare status', { status: 'paused' }, ({ status }) => status === 'paused'],
    ['a status that no subscription has', { status: 'expired' }, () => false],
    ['a plan', { plan: 'rare' }, ({ plan }) => plan === 'rare'],
    ['a prefix', { email_prefix: 'AB' }, ({ email }) => email.startsWith('ab')],
    ['a prefix beyond ASCII', { email_prefix: 'Ä' }, ({ email }) => email.startsWith('ä')],
    [
      'several fields at once',
      { status: 'active,trialing', plan: 'pro', email_prefix: 'c' },
      ({ status, plan, email }) => status !== 'paused' && plan === 'pro' && email.startsWith('c'),
    ],
  ])('can be filtered by %s', async (_, query, fits) => {
    const { rows } = await walk({ ...query, limit: '100' }, 'link');
    expect(rows).toEqual(inOrder(all.filter(fits)));
  });
});

test('under concurrent writes, a row that keeps its place is on exactly one page', async () => {
  const seen: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; cursor !== undefined || page === 0; page += 1) {
    const { body } = await request(world.url)
      .get('/subscriptions')
      .query({ sort: '-email', limit: '400', ...(cursor === undefined ? {} : { cursor }) });
    seen.push(...(body.data as Row[]).map(({ email }) => email));
    cursor = body.next_cursor ?? undefined;
    await world.db1.query(`DELETE FROM subscriptions WHERE email = $1 OR email = $2`, [seen.at(-1), `come${page - 1}@example.com`]);
    await world.db1.query(`INSERT INTO subscriptions (email) VALUES ($1)`, [`come${page}@example.com`]);
    await world.db1.query(`UPDATE subscriptions SET plan = $1 WHERE email LIKE 'b%'`, [`p${page}`]);
  }
  const others = seen.filter((email) => !email.startsWith('come'));
  expect(new Set(others).size).toBe(others.length);
  expect(others.length).toBe(ROWS);
});

test.each([
  ['limit=0', 'limit'],
  ['limit=501', 'limit'],
  ['limit=1&limit=2', 'limit'],
  ['sort=plan', 'sort'],
  ['sort=email&sort=-email', 'sort'],
  ['sort=version', 'sort'],
  ['status=', 'status'],
  ['status=a,,b', 'status'],
  [`status=${Array.from({ length: 21 }, (_, i) => i).join(',')}`, 'status'],
  [Array.from({ length: 21 }, () => 'status=active').join('&'), 'status'],
  ['plan=', 'plan'],
  ['plan=a&plan=b', 'plan'],
  ['email_prefix=%00', 'email_prefix'],
  ['cursor=nonsense', 'cursor'],
  [`sort=-email&cursor=${Buffer.from('["email","a@example.com"]').toString('base64url')}`, 'cursor'],
  [`cursor=${Buffer.from('["email",7]').toString('base64url')}`, 'cursor'],
  [`cursor=${Buffer.from('["email","\\u0000"]').toString('base64url')}`, 'cursor'],
  [`cursor=${Buffer.from('null').toString('base64url')}`, 'cursor'],
])('400 for ?%s', async (query, field) => {
  const { body } = await request(world.url).get(`/subscriptions?${query}`).expect(400);
  expect(body.errors).toMatchObject([{ field }]);
});

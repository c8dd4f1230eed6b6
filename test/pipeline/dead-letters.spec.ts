import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import request from 'supertest';
import { eventually } from '../harness/eventually.js';
import { changeOf, recordOf } from '../harness/history.js';
import { putOnTopic, World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);

/** Lets DB2 refuse plans of more than five letters, until the constraint is dropped. */
const NARROW = 'ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) <= 5) NOT VALID';
const WIDE = 'ALTER TABLE subscriptions DROP CONSTRAINT IF EXISTS narrow';

beforeEach(async () => {
  await world.db2.query(`${WIDE}; DELETE FROM subscription_sync.dead_letters; ${NARROW}`);
});

interface Letter {
  readonly id: number;
  readonly state: string;
}

async function letters(count: number): Promise<Letter[]> {
  return eventually(async () => {
    const { body } = await api().get('/dead-letters').expect(200);
    const { data } = body as { data: Letter[] };
    return data.length === count ? data : undefined;
  });
}

/** Makes a change that DB2 refuses. @returns its dead letter. */
async function refused(email: string): Promise<Letter> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, plan) VALUES ($1, 'too wide') ON CONFLICT (email) DO UPDATE SET plan = 'too wide'`,
    [email],
  );
  return (await letters(1))[0]!;
}

async function planOf(email: string): Promise<string | undefined> {
  return (await world.db2.query<{ plan: string }>('SELECT plan FROM subscriptions WHERE email = $1', [email])).rows[0]?.plan;
}

test('a dead letter is returned with its place in the topic, its cause and its bytes', async () => {
  const { id } = await refused('shown@example.com');
  const { body } = await api().get(`/dead-letters/${id}`).expect(200);
  expect(body).toEqual({
    id,
    state: 'open',
    error_class: '23514',
    error: expect.stringMatching(/^DB2 refused version \d+: SQLSTATE 23514$/),
    topic: world.topic,
    partition: expect.any(Number),
    offset: expect.any(Number),
    redrives: 0,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*\+00:00$/),
    changed_at: null,
    encoding: 'utf8',
    key: 'shown@example.com',
    value: expect.stringContaining('"plan":"too wide"'),
  });
});

test('the metrics count the open dead letters', async () => {
  await refused('counted@example.com');
  const text = (await api().get('/metrics').expect(200)).text;
  expect(text).toMatch(/^subscription_sync_dead_letters_open 1$/m);
});

test('the OpenAPI document has all dead-letter operations', async () => {
  const { body } = await api().get('/docs-json').expect(200);
  const paths = Object.keys((body as { paths: object }).paths).filter((path) => path.startsWith('/dead-letters'));
  expect(paths.sort()).toEqual([
    '/dead-letters',
    '/dead-letters/redrive',
    '/dead-letters/{id}',
    '/dead-letters/{id}/discard',
    '/dead-letters/{id}/redrive',
  ]);
});

test('bytes that are not UTF-8 are returned as base64', async () => {
  await putOnTopic(world, [{ key: 'bytes@example.com', value: Buffer.from([0xff, 0x00]) }]);
  const [letter] = await letters(1);
  const { body } = await api().get(`/dead-letters/${letter!.id}`).expect(200);
  expect(body).toMatchObject({
    encoding: 'base64',
    key: Buffer.from('bytes@example.com').toString('base64'),
    value: '/wA=',
    error_class: 'not-utf8',
  });
});

test('a redrive applies the record once its cause is gone, and closes the dead letter', async () => {
  const { id } = await refused('mended@example.com');
  const failed = await api().post(`/dead-letters/${id}/redrive`).expect(200);
  expect(failed.body).toEqual({ id, outcome: 'failed', error: 'Failed again: 23514' });
  expect(await planOf('mended@example.com')).toBeUndefined();

  await world.db2.query(WIDE);
  const applied = await api().post(`/dead-letters/${id}/redrive`).expect(200);
  expect(applied.body).toEqual({ id, outcome: 'applied' });
  expect(await planOf('mended@example.com')).toBe('too wide');
  expect((await api().get(`/dead-letters/${id}`)).body).toMatchObject({ state: 'applied', redrives: 2, changed_at: expect.any(String) });
  const again = await api().post(`/dead-letters/${id}/redrive`).expect(409);
  expect(again.body).toMatchObject({ detail: expect.stringContaining('applied') });
});

test.each([
  ['a newer change', `UPDATE subscriptions SET plan = 'new' WHERE email = $1`, 'new'],
  ['a deletion', 'DELETE FROM subscriptions WHERE email = $1', undefined],
])('a redrive never undoes %s', async (name, newer, plan) => {
  const email = `${name.replaceAll(' ', '-')}@example.com`;
  const { id } = await refused(email);
  await world.db1.query(newer, [email]);
  await eventually(async () => (await world.db2.query(`SELECT FROM subscription_sync.applied WHERE email = $1`, [email])).rowCount === 1);
  await world.db2.query(WIDE);
  const { body } = await api().post(`/dead-letters/${id}/redrive`).expect(200);
  expect(body).toEqual({ id, outcome: 'superseded' });
  expect(await planOf(email)).toBe(plan);
});

test('a redrive does not move the position of the partition', async () => {
  const { id } = await refused('position@example.com');
  const positions = async (): Promise<unknown[]> =>
    (await world.db2.query('SELECT * FROM subscription_sync.positions ORDER BY partition')).rows;
  const before = await positions();
  await world.db2.query(WIDE);
  await api().post(`/dead-letters/${id}/redrive`).expect(200);
  expect(await positions()).toEqual(before);
});

test('a discarded dead letter keeps its bytes and can not be redriven', async () => {
  const { id } = await refused('dropped@example.com');
  await world.db2.query(WIDE);
  expect((await api().post(`/dead-letters/${id}/discard`).expect(200)).body).toMatchObject({ id, state: 'discarded' });
  await api().post(`/dead-letters/${id}/redrive`).expect(409);
  await api().post(`/dead-letters/${id}/discard`).expect(409);
  expect(await planOf('dropped@example.com')).toBeUndefined();
});

test('all dead letters that match a filter are redriven, the oldest first', async () => {
  await world.db1.query(
    `INSERT INTO subscriptions (email, plan) SELECT 'many' || i || '@example.com', 'too wide' FROM generate_series(1, 250) i`,
  );
  await world.db1.query(`UPDATE subscriptions SET plan = 'wider still' WHERE email = 'many1@example.com'`);
  await putOnTopic(world, [{ key: 'x@example.com', value: 'no event' }]);
  await eventually(async () => (await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount === 252);
  await world.db2.query(WIDE);
  const { body } = await api().post('/dead-letters/redrive?error_class=23514').expect(200);
  expect(body).toEqual({ applied: 251, superseded: 0, failed: 0 });
  expect(await planOf('many1@example.com')).toBe('wider still');
  const open = (await api().get('/dead-letters?state=open').expect(200)).body as { data: unknown[] };
  expect(open.data).toMatchObject([{ error_class: 'not-json', state: 'open' }]);
  expect((await api().post('/dead-letters/redrive').expect(200)).body).toEqual({ applied: 0, superseded: 0, failed: 1 });
});

test('of two concurrent redrives of a dead letter, one applies it', async () => {
  const { id } = await refused('twice@example.com');
  await world.db2.query(WIDE);
  const answers = await Promise.all([1, 2, 3, 4].map(() => api().post(`/dead-letters/${id}/redrive`)));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
});

test('paging returns each dead letter exactly once', async () => {
  await putOnTopic(
    world,
    Array.from({ length: 7 }, (_, i) => ({ key: `page${i}@example.com`, value: `no event ${i}` })),
  );
  const all = (await letters(7)).map(({ id }) => id);
  const seen: number[] = [];
  let cursor = '';
  do {
    const { body } = await api().get(`/dead-letters?limit=3${cursor}`).expect(200);
    const page = body as { data: Letter[]; next_cursor: string | null };
    seen.push(...page.data.map(({ id }) => id));
    cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`;
  } while (cursor !== '');
  expect(seen).toEqual(all);
});

test('a replay of the topic does not reopen a dead letter', async () => {
  const change = recordOf(changeOf('replay@example.com', 1), 0);
  await putOnTopic(world, [{ key: change.key, value: 'no event' }]);
  const [letter] = await letters(1);
  await api().post(`/dead-letters/${letter!.id}/discard`).expect(200);
  await world.stop();
  await world.start();
  await world.ready();
  expect(await letters(1)).toMatchObject([{ id: letter!.id, state: 'discarded' }]);
});

test.each([
  ['get', '/dead-letters/0', 404],
  ['get', '/dead-letters/abc', 400],
  ['get', '/dead-letters/99999999999999999999', 400],
  ['get', '/dead-letters?state=lost', 400],
  ['get', '/dead-letters?limit=501', 400],
  ['get', '/dead-letters?cursor=x', 400],
  ['get', '/dead-letters?colour=red', 400],
  ['get', '/dead-letters?error_class=a%00', 400],
  ['post', '/dead-letters/0/redrive', 404],
  ['post', '/dead-letters/0/discard', 404],
  ['post', '/dead-letters/redrive?partition=all', 400],
] as const)('%s %s answers %i, as a problem', async (method, path, status) => {
  const agent = api();
  const answer = await agent[method](path).expect(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
});

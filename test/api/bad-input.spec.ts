import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import request from 'supertest';
import { World } from '../harness/world.js';

const EMAIL = 'ada@example.com';
const OK = { email: 'new@example.com', status: 'active' };

let world: World;
let before: unknown[];

beforeAll(async () => {
  world = await World.shared();
  await world.db1.query(`INSERT INTO subscriptions (email, status, plan) VALUES ($1, 'active', 'pro')`, [EMAIL]);
});
afterAll(() => world.close());
beforeEach(async () => {
  before = await everything();
});

const api = (): ReturnType<typeof request> => request(world.url);

async function everything(): Promise<unknown[]> {
  const [rows, log] = await Promise.all([
    world.db1.query('SELECT * FROM subscriptions'),
    world.db1.query('SELECT version FROM subscription_sync.changes'),
  ]);
  return [...rows.rows, ...log.rows];
}

/** Expects a problem that names the fields, and that nothing was written. */
async function expectProblem(answer: request.Test, status: number, ...fields: string[]): Promise<void> {
  const { status: answered, headers, body } = await answer;
  expect({ answered, body }).toMatchObject({ answered: status, body: { status, detail: expect.any(String) } });
  expect(headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(JSON.stringify(body)).not.toContain('@example.com');
  expect(new Set((body.errors ?? []).map(({ field }: { field: string }) => field))).toEqual(new Set(fields));
  expect(await everything()).toEqual(before);
}

test.each([
  ['a malformed email', { ...OK, email: 'nobody' }, ['email']],
  ['no email', { status: 'active' }, ['email']],
  ['an email that is not text', { ...OK, email: { $ne: null } }, ['email']],
  ['an email longer than 254', { ...OK, email: `${'a'.repeat(250)}@example.com` }, ['email']],
  ['an email with U+0000', { ...OK, email: 'a\u0000b@example.com' }, ['email']],
  ['an email with a lone surrogate', { ...OK, email: 'a\ud800b@example.com' }, ['email']],
  ['an unknown status', { ...OK, status: 'on_holiday' }, ['status']],
  ['no status', { email: OK.email }, ['status']],
  ['a status that is an array', { ...OK, status: ['active'] }, ['status']],
  ['an unknown field', { ...OK, colour: 'red' }, ['colour']],
  ['a version', { ...OK, version: 7 }, ['version']],
  ['a field with the name of a property of every object', { ...OK, toString: 7 }, ['toString']],
  ['a field prototype', { ...OK, prototype: {} }, ['prototype']],
  ['an empty plan', { ...OK, plan: '' }, ['plan']],
  ['a plan with U+0000', { ...OK, plan: 'p\u0000' }, ['plan']],
  ['a plan that is a number', { ...OK, plan: 7 }, ['plan']],
  ['a date without a time', { ...OK, access_until: '2027-01-31' }, ['access_until']],
  ['a time without a zone', { ...OK, access_until: '2027-01-31T00:00:00' }, ['access_until']],
  ['an offset that PostgreSQL does not support', { ...OK, access_until: '2027-01-31T00:00:00+16:00' }, ['access_until']],
  ['a day that does not exist', { ...OK, access_until: '2027-02-30T00:00:00Z' }, ['access_until']],
  ['a year that PostgreSQL does not support', { ...OK, access_until: '0000-01-01T00:00:00Z' }, ['access_until']],
  ['a flag that is text', { ...OK, cancel_at_period_end: 'yes' }, ['cancel_at_period_end']],
  ['a flag that is null', { ...OK, cancel_at_period_end: null }, ['cancel_at_period_end']],
  ['metadata that is an array', { ...OK, metadata: [] }, ['metadata']],
  ['metadata that is null', { ...OK, metadata: null }, ['metadata']],
  ['metadata with U+0000 inside', { ...OK, metadata: { a: [{ b: '\u0000' }] } }, ['metadata']],
  ['metadata with U+0000 in a key', { ...OK, metadata: { '\u0000': 1 } }, ['metadata']],
  ['metadata that is too large', { ...OK, metadata: { a: 'x'.repeat(17_000) } }, ['metadata']],
  ['metadata with too many keys', { ...OK, metadata: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [i, i])) }, ['metadata']],
  ['metadata nested deeper than 20', { ...OK, metadata: JSON.parse(`${'{"a":'.repeat(21)}1${'}'.repeat(21)}`) }, ['metadata']],
  ['several invalid fields', { email: 'x', status: 'y', plan: 5, z: 1 }, ['email', 'status', 'plan', 'z']],
])('400 for %s', async (_, body, fields) => {
  await expectProblem(api().post('/subscriptions').send(body), 400, ...fields);
  const { email: _email, ...rest } = body as { email?: unknown };
  if (fields.includes('email')) return;
  await expectProblem(api().put(`/subscriptions/${EMAIL}`).send(rest), 400, ...fields);
  if (!('status' in body)) return;
  await expectProblem(api().patch(`/subscriptions/${EMAIL}`).send(rest), 400, ...fields);
});

test('400 for extremely deeply nested metadata', async () => {
  const text = `{"email":"new@example.com","status":"active","metadata":${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}}`;
  await expectProblem(api().post('/subscriptions').set('content-type', 'application/json').send(text), 400, 'metadata');
});

test.each([
  ['wrong JSON', '{"email": "a@example.com", '],
  ['no JSON at all', 'status=active'],
  ['an empty body', ''],
  ['a list', '[]'],
  ['an array with one item', '[{"email":"new@example.com","status":"active"}]'],
  ['null', 'null'],
  ['text', '"active"'],
  ['a number', '7'],
])('400 for %s as the body', async (_, body) => {
  for (const answer of [api().post('/subscriptions'), api().put(`/subscriptions/${EMAIL}`), api().patch(`/subscriptions/${EMAIL}`)]) {
    await expectProblem(answer.set('content-type', 'application/json').send(body), 400);
  }
});

test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml'])(
  '415 for a body of type %s',
  async (type) => {
    await expectProblem(api().post('/subscriptions').set('content-type', type).send('email=new@example.com&status=active'), 415);
  },
);

test('413 for an oversized body, and the connection stays usable', async () => {
  const metadata = { a: 'x'.repeat(70_000) };
  await expectProblem(
    api()
      .post('/subscriptions')
      .send({ ...OK, metadata }),
    413,
  );
});

test.each([
  ['nobody', 'not an email'],
  ['%00@example.com', 'U+0000'],
  [`${'a'.repeat(300)}@example.com`, 'too long'],
])('400 for the path %s: %s', async (email) => {
  await expectProblem(api().get(`/subscriptions/${email}`), 400, 'email');
  await expectProblem(api().delete(`/subscriptions/${email}`), 400, 'email');
  await expectProblem(api().put(`/subscriptions/${email}`).send({ status: 'active' }), 400, 'email');
});

test.each(['%', '%E0%A4%A', '%zz@example.com', 'a%ED%A0%80@example.com'])('400 for the malformed path %s', async (email) => {
  await expectProblem(api().get(`/subscriptions/${email}`), 400);
});

test('414 for a path that is far too long', async () => {
  await expectProblem(api().get(`/subscriptions/${'a'.repeat(5_000)}@example.com`), 414);
});

test.each([
  ['limit=0', 'limit'],
  ['limit=501', 'limit'],
  ['limit=1e2', 'limit'],
  ['limit=1&limit=2', 'limit'],
  ['cursor=nonsense!', 'cursor'],
  ['cursor=', 'cursor'],
  ['cursor=AA', 'cursor'],
  ['status=', 'status'],
  ['status=%00', 'status'],
  ['page=2', 'page'],
  ['__proto__=1', '__proto__'],
  ['constructor=1', 'constructor'],
  ['toString=1', 'toString'],
])('400 for ?%s', async (query, field) => {
  await expectProblem(api().get(`/subscriptions?${query}`), 400, field);
});

test.each(['/', '/nowhere', '/subscriptions/a@example.com/more'])('404 for %s, as a problem', async (path) => {
  await expectProblem(api().get(path), 404);
});

test("the names of the owner's own rules on the table are reported", async () => {
  await world.db1.query(`
    ALTER TABLE subscriptions ADD CONSTRAINT no_nine CHECK (plan <> 'nine'), ADD CONSTRAINT one_plan UNIQUE (plan);
    CREATE FUNCTION no_ten() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.plan = 'ten' THEN RAISE 'ten is sold out, % (<%>)', NEW.email, 'Sales@Example.com'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER no_ten BEFORE INSERT ON subscriptions FOR EACH ROW EXECUTE FUNCTION no_ten()`);
  const details = await Promise.all(
    ['nine', 'pro', 'ten'].map(async (plan) => {
      const { status, body } = await api()
        .post('/subscriptions')
        .send({ ...OK, plan });
      return `${status} ${(body as { detail: string }).detail}`;
    }),
  );
  expect(details).toEqual([
    '400 The database rejected the row: constraint no_nine',
    '409 Another row already has a value that must be unique: constraint one_plan',
    '400 The database rejected the change: ten is sold out, (an email) (<(an email)>)',
  ]);
  expect(await everything()).toEqual(before);
  await world.db1.query(
    'ALTER TABLE subscriptions DROP CONSTRAINT no_nine, DROP CONSTRAINT one_plan; DROP TRIGGER no_ten ON subscriptions',
  );
});

test('whatever is sent, the service never answers 5xx and keeps running', async () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.jsonValue(),
    fc.constantFrom('active', '2027-01-31T00:00:00Z'),
  );
  const field = fc.constantFrom('email', 'status', 'plan', 'access_until', 'cancel_at_period_end', 'metadata', 'version', '', 'x');
  const body = fc.oneof(
    { weight: 4, arbitrary: fc.dictionary(field, value, { maxKeys: 8 }).map((fields) => JSON.stringify({ status: 'active', ...fields })) },
    { weight: 1, arbitrary: fc.jsonValue().map((json) => JSON.stringify(json)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  );
  const email = fc.oneof(
    fc.constant('fuzz@example.com'),
    fc.string({ unit: 'binary', maxLength: 60 }).map((text) => encodeURIComponent(text.toWellFormed())),
    fc.webPath().map((path) => path.slice(0, 60)),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('post', 'put', 'patch', 'get', 'delete'), email, body, async (method, path, text) => {
      const url = new URL(`${world.url}/subscriptions${method === 'post' ? '' : `/${path}`}`);
      const response = await fetch(url, {
        method: method.toUpperCase(),
        headers: { 'content-type': 'application/json' },
        ...(method === 'get' || method === 'delete' ? {} : { body: text }),
      });
      await response.arrayBuffer();
      expect(response.status).toBeLessThan(500);
    }),
    { numRuns: 500 },
  );
});

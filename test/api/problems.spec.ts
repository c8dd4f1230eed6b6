import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import request from 'supertest';
import { PROBLEM_TYPES } from '#http';
import { World } from '../harness/world.js';
import { SubscriptionsClient } from './client.js';

let world: World;
const api = new SubscriptionsClient(() => world.url);
const http = (): ReturnType<typeof request> => request(world.url);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

/** Expects a problem of a documented type, with the request's id in body and header, and without internal details. */
async function expectProblem(answer: request.Test, type: keyof typeof PROBLEM_TYPES): Promise<request.Response> {
  const response = await answer;
  const { status, title } = PROBLEM_TYPES[type];
  expect(response.body).toMatchObject({ type: `/problems/${type}`, title, status, detail: expect.any(String) });
  expect(response.status).toBe(status);
  expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(response.headers['x-request-id']).toBe(response.body.request_id);
  expect(response.body.request_id).toMatch(/^[\w-]{36}$/);
  expect(response.text).not.toMatch(/@example|SELECT|node_modules|at .*\.[jt]s:/);
  return response;
}

test.each([
  ['an unknown path', () => http().get('/nowhere/ada@example.com'), 'no-such-route'],
  ['an unknown subscription', () => api.get('nobody@example.com'), 'not-found'],
  ['wrong fields', () => api.post({ email: 'nobody' }), 'invalid-request'],
  [
    'wrong JSON',
    () => http().post('/subscriptions').set('content-type', 'application/json').send('{"email":"ada@example.com'),
    'invalid-request',
  ],
  ['a malformed path', () => http().get('/subscriptions/%zzada@example.com'), 'invalid-request'],
  ['a path that is far too long', () => http().get(`/subscriptions/${'a'.repeat(5_000)}@example.com`), 'uri-too-long'],
  ['another type', () => http().post('/subscriptions').set('content-type', 'text/csv').send('a,b'), 'unsupported-media-type'],
  ['an oversized body', () => api.post({ metadata: { a: 'x'.repeat(70_000) } }), 'content-too-large'],
] as const)('%s', async (_, send, type) => {
  await expectProblem(send(), type);
});

test.each([
  ['delete', '/subscriptions', 'GET, HEAD, POST'],
  ['post', '/subscriptions/ada@example.com', 'DELETE, GET, HEAD, PATCH, PUT'],
  ['put', '/health/live', 'GET, HEAD'],
  ['put', '/subscriptions/import', 'POST'],
  ['delete', '/subscriptions/export?format=csv', 'GET, HEAD'],
] as const)('%s %s is 405, and the response lists the allowed methods', async (method, path, allow) => {
  const agent = http();
  const { headers } = await expectProblem(agent[method](path), 'method-not-allowed');
  expect(headers['allow']).toBe(allow);
});

test("a violated rule of the table's owner is 409, without SQL in the response", async () => {
  await world.db1.query('ALTER TABLE subscriptions ADD CONSTRAINT one_plan UNIQUE (plan)');
  await api.existing({ plan: 'only' });
  await expectProblem(api.post({ email: api.newEmail(), status: 'active', plan: 'only' }), 'conflict');
  await world.db1.query('ALTER TABLE subscriptions DROP CONSTRAINT one_plan');
});

test('every invalid field of a body has its JSON pointer; a field of the query or the path has none', async () => {
  const { body } = await expectProblem(
    api.post({ email: 'x', status: 'y', metadata: [], 'a/b~c': 1 }).set('content-type', 'application/json'),
    'invalid-request',
  );
  expect(body.errors.map(({ field, pointer }: Record<string, string>) => [field, pointer]).sort()).toEqual([
    ['a/b~c', '/a~1b~0c'],
    ['email', '/email'],
    ['metadata', '/metadata'],
    ['status', '/status'],
  ]);
  expect((await http().get('/subscriptions?limit=0')).body.errors).toEqual([{ field: 'limit', detail: expect.any(String) }]);
  expect((await api.get('nobody')).body.errors).toEqual([{ field: 'email', detail: expect.any(String) }]);
});

test.each([
  ['abc-DEF_1.2:3', true],
  ['x'.repeat(128), true],
  ['x'.repeat(129), false],
  ['ada@example.com', false],
  ['a b', false],
])("the caller's X-Request-Id %s: taken over %s", async (id, taken) => {
  for (const answer of [await http().get('/subscriptions').set('x-request-id', id), await http().get('/nowhere').set('x-request-id', id)]) {
    expect(answer.headers['x-request-id'] === id).toBe(taken);
    expect(answer.headers['x-request-id']).toMatch(/^[\w.:-]{1,128}$/);
  }
});

test.each([
  ['no HTTP at all', 'nonsense\r\n\r\n', 'HTTP/1.1 400 '],
  ['endless headers', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 'HTTP/1.1 431 '],
])('%s: the response is a problem with security headers, too', async (_, bytes, line) => {
  const { hostname, port } = new URL(world.url);
  const text = await new Promise<string>((resolve, reject) => {
    let received = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket
      .on('data', (chunk) => (received += chunk.toString()))
      .on('end', () => resolve(received))
      .on('error', reject);
  });
  expect(text.startsWith(line)).toBe(true);
  expect(text).toMatch(/\r\ncontent-security-policy: default-src 'self';.*frame-ancestors 'none'/);
  expect(text).toContain('\r\nx-content-type-options: nosniff\r\n');
  expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n')))).toMatchObject({
    type: expect.stringMatching(/^\/problems\//),
    request_id: expect.any(String),
  });
});

test('503 with Retry-After while Database 1 is down', async () => {
  const away = world.beside({ servers: [['api']], env: { DB1_PORT: '1' } });
  await away.start();
  const answer = await request(away.url).get('/subscriptions/ada@example.com').expect(503);
  expect(answer.headers['retry-after']).toBe('1');
  expect(answer.body).toMatchObject({ type: '/problems/unavailable', request_id: answer.headers['x-request-id'] });
  await away.stop();
});

test('every problem type links to its description, and docs/api/problems.md has the same text', async () => {
  const docs = readFileSync('docs/api/problems.md', 'utf8');
  for (const [name, kind] of Object.entries(PROBLEM_TYPES)) {
    const { body } = await http().get(`/problems/${name}`).expect(200);
    expect(body).toEqual({ type: `/problems/${name}`, ...kind });
    expect(docs).toContain(`| \`${name}\` | ${kind.status} | ${kind.meaning} |`);
  }
  expect((await http().get('/problems').expect(200)).body).toHaveLength(Object.keys(PROBLEM_TYPES).length);
  await expectProblem(http().get('/problems/constructor'), 'not-found');
});

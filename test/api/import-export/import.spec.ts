import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request as rawRequest } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { changesOf } from '../../harness/databases.js';
import { EventSource } from '../../harness/http-clients.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';
import { NDJSON, ndjson, sendFile } from './send-file.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);
const send = (file: string | Buffer, type = NDJSON, query = ''): request.Test => sendFile(world.url, file, type, query);

async function row(email: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await world.db1.query<Record<string, unknown>>(
    'SELECT status, plan, access_until::text, cancel_at_period_end, metadata, subscription_sync.newest_version(email)::int AS version FROM subscriptions WHERE email = $1',
    [email],
  );
  return rows[0];
}

describe('NDJSON', () => {
  test('creates and replaces subscriptions, leaves equal ones unchanged, and counts each', async () => {
    const lines = [
      { email: 'A1@example.com', status: 'active', plan: 'pro', access_until: '2027-01-31T00:00:00Z', metadata: { a: [1] } },
      { email: 'a2@example.com', status: 'canceled', cancel_at_period_end: true },
    ];
    const first = await send(ndjson(lines)).set('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01').expect(201);
    expect(first.body).toMatchObject({
      state: 'finished',
      dry_run: false,
      lines: 2,
      created: 2,
      updated: 0,
      unchanged: 0,
      refused: 0,
      errors: [],
      error: null,
    });
    expect(first.headers['location']).toBe(`/imports/${first.body.id}`);
    expect(await row('a1@example.com')).toMatchObject({
      status: 'active',
      plan: 'pro',
      metadata: { a: [1] },
      access_until: '2027-01-31 00:00:00+00',
    });
    const second = await send(ndjson([{ email: 'a1@example.com', status: 'paused' }, lines[1]!]), NDJSON).expect(201);
    expect(second.body).toMatchObject({ lines: 2, created: 0, updated: 1, unchanged: 1 });
    expect(await row('a1@example.com')).toMatchObject({ status: 'paused', plan: null, metadata: {} });
    const changes = (await changesOf(world.db1)).filter(({ email }) => /^a[12]@/.test(email));
    expect(changes.map(({ operation, origin }) => `${operation} ${origin}`)).toEqual(['created api', 'created api', 'updated api']);
    expect(changes[0]).toMatchObject({ actor: 'api', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' });
    expect((await api().get(`/imports/${first.body.id}`).expect(200)).body).toEqual(first.body);
  });

  test('invalid lines are reported by number, without their values, and the others are written', async () => {
    const file = Buffer.concat([
      Buffer.from('{"email":"b1@example.com","status":"active"}\r\n\n'),
      Buffer.from('{"email":"b3@example.com","status":\n["b4@example.com"]\n'),
      Buffer.from('{"email":"b5","status":"b5@example.com"}\n{"email":"b6@example.com","status":"active","colour":"b6@example.com"}\n'),
      Buffer.from([0x7b, 0xff, 0x0a]),
      Buffer.from(`{"email":"b8@example.com","status":"active","metadata":{"x":"${'y'.repeat(70_000)}"}}\n`),
      Buffer.from('{"email":"b9@example.com","status":"active","created_at":"x","updated_at":"y"}'),
    ]);
    const { body, text } = await send(file).expect(201);
    expect(body).toMatchObject({ state: 'finished', lines: 8, created: 2, refused: 6 });
    expect(body.errors).toEqual([
      { line: 3, detail: 'is not JSON' },
      { line: 4, detail: 'must be a JSON object' },
      { line: 5, field: 'email', detail: expect.stringContaining('must be an email') },
      { line: 5, field: 'status', detail: expect.stringContaining('must be one of') },
      { line: 6, detail: expect.stringContaining('has an unknown field; known are') },
      { line: 7, detail: 'is not UTF-8' },
      { line: 8, detail: 'is longer than 65536 bytes' },
    ]);
    expect(text).not.toMatch(/b\d@example/);
    expect([await row('b1@example.com'), await row('b9@example.com')]).toMatchObject([{ status: 'active' }, { status: 'active' }]);
  });

  test('a row that the database refuses does not affect other rows', async () => {
    await world.db1.query(`ALTER TABLE subscriptions ADD CONSTRAINT no_gold CHECK (plan <> 'gold')`);
    const lines = Array.from({ length: 2_500 }, (_, i) => ({
      email: `c${i + 1}@example.com`,
      status: 'active',
      plan: [7, 1_300, 2_500].includes(i + 1) ? 'gold' : 'pro',
    }));
    const { body } = await send(ndjson(lines)).expect(201);
    expect(body).toMatchObject({ lines: 2_500, created: 2_497, refused: 3 });
    expect(body.errors).toEqual([7, 1_300, 2_500].map((line) => ({ line, detail: 'the database refuses the row: constraint no_gold' })));
    expect(await row('c1299@example.com')).toMatchObject({ plan: 'pro' });
    await world.db1.query('ALTER TABLE subscriptions DROP CONSTRAINT no_gold');
  });

  test('the last line of an email wins, within a batch and across batches', async () => {
    const lines = Array.from({ length: 2_100 }, (_, i) => ({
      email: i % 3 === 0 ? ' D@example.com ' : `d${i}@example.com`,
      status: 'active',
      plan: `p${i}`,
    }));
    const { body } = await send(ndjson(lines)).expect(201);
    expect(body.refused).toBe(0);
    const { created, updated, unchanged, superseded } = body as Record<string, number>;
    expect([created, updated, unchanged, superseded].reduce((sum = 0, count = 0) => sum + count)).toBe(2_100);
    expect(await row('d@example.com')).toMatchObject({ plan: 'p2097' });
  });

  test('a dry run reports what would happen and changes nothing', async () => {
    await send(ndjson([{ email: 'e1@example.com', status: 'active' }])).expect(201);
    const logged = (await changesOf(world.db1)).length;
    const { body } = await send(
      ndjson([
        { email: 'e1@example.com', status: 'paused' },
        { email: 'e2@example.com', status: 'active' },
        { email: 'e3', status: 'active' },
      ]),
      NDJSON,
      '?dry_run=true',
    ).expect(201);
    expect(body).toMatchObject({ dry_run: true, created: 1, updated: 1, refused: 1 });
    expect([await row('e1@example.com'), await row('e2@example.com')]).toMatchObject([{ status: 'active' }, undefined]);
    expect((await changesOf(world.db1)).length).toBe(logged);
  });
});

describe('CSV', () => {
  test('accepts the columns in any order, and treats empty cells as absent', async () => {
    const file =
      '\ufeffStatus,email,plan,metadata,cancel_at_period_end\r\nactive,f1@example.com,"a, ""b""\nc","{""a"":1}",TRUE\r\npaused,f2@example.com,,,\r\n';
    const { body } = await send(file, 'text/csv; charset=utf-8').expect(201);
    expect(body).toMatchObject({ lines: 2, created: 2, errors: [] });
    expect(await row('f1@example.com')).toMatchObject({ plan: 'a, "b"\nc', metadata: { a: 1 }, cancel_at_period_end: true });
    expect(await row('f2@example.com')).toMatchObject({ status: 'paused', plan: null, metadata: {} });
  });

  test('invalid rows are reported by line', async () => {
    const file = 'email,status,metadata,cancel_at_period_end\ng1@example.com,active,,\ng2@example.com,active\ng3@example.com,x,no,maybe\n';
    const { body } = await send(file, 'text/csv').expect(201);
    expect(
      body.errors.map(({ line, field, detail }: { line: number; field?: string; detail: string }) => `${line} ${field ?? detail}`),
    ).toEqual([
      '3 has more or fewer cells than the header: 2 instead of 4; put a cell that contains the delimiter, a comma, in quotes',
      '4 status',
      '4 cancel_at_period_end',
      '4 metadata',
    ]);
    expect(body).toMatchObject({ created: 1, refused: 2 });
  });

  test.each([
    ['no header', 'h1@example.com,active\n', /^Line 1 must name the columns; missing: email, status/],
    ['an unknown column', 'email,status,colour\n', /^Line 1 names an unknown column; known are/],
    [
      'an open quote',
      'email,status\nh2@example.com,active\nh3@example.com,"active\n',
      /^Line 3, column status: the quote that opens this cell is never closed\. Close it, .*\. Lines done before the error: 1 \(import /,
    ],
    [
      'Latin-1',
      Buffer.concat([Buffer.from('email,status,plan\nh4@example.com,active,'), Buffer.from([0xe4, 0x0a])]),
      /^The file is not UTF-8: see line 2\. Save it as UTF-8, or as UTF-16 with a byte order mark\. Lines/,
    ],
  ])('%s is 422, and its job failed', async (_, file, detail) => {
    const id = randomUUID();
    const { body } = await send(file, 'text/csv', `?id=${id}`).expect(422);
    expect(body).toMatchObject({ type: '/problems/unreadable-file', detail: expect.stringMatching(detail), import: id });
    expect(JSON.stringify(body)).not.toContain('@');
    expect((await api().get(`/imports/${id}`).expect(200)).body).toMatchObject({ state: 'failed', error: expect.any(String) });
  });
});

/** Bodies that an import must accept or refuse exactly as PUT does. */
const FIELDS: readonly (readonly [string, unknown])[] = [
  ...['active', 'Active', '', null, 7, undefined].map((value) => ['status', value] as const),
  ...['pro', '', null, 7, 'x'.repeat(100), 'x'.repeat(101), '😀'.repeat(100), 'a\u0000', '\ud800'].map((value) => ['plan', value] as const),
  ...['2027-01-31T00:00:00Z', '2027-02-30T00:00:00Z', '2027-01-31', '0000-01-01T00:00:00Z', null, 7].map(
    (value) => ['access_until', value] as const,
  ),
  ...[true, 'true', null, 0].map((value) => ['cancel_at_period_end', value] as const),
  ...[true, false, 'true', null, 0].map((value) => ['reactivate', value] as const),
  ...[{}, null, [], 'x', { a: 'x'.repeat(17_000) }, { '\u0000': 1 }, Object.fromEntries(Array.from({ length: 51 }, (_, i) => [i, i]))].map(
    (value) => ['metadata', value] as const,
  ),
  ['colour', 'red'],
];

test('an import accepts what PUT accepts and refuses what PUT refuses', async () => {
  const bodies = FIELDS.map(([field, value]) => ({ status: 'active', [field]: value }));
  const puts = await Promise.all(bodies.map(async (body) => (await api().put('/subscriptions/i@example.com').send(body)).status < 300));
  const { body } = await send(ndjson(bodies.map((each, i) => ({ email: `i${i}@example.com`, ...each })))).expect(201);
  const refused = new Set(body.errors.map(({ line }: { line: number }) => line));
  expect(FIELDS.map((field, i) => [field, !refused.has(i + 1)])).toEqual(FIELDS.map((field, i) => [field, puts[i]]));
});

test('a job can be followed while the file is sent; a broken connection leaves it failed, with its lines written', async () => {
  const id = randomUUID();
  const { hostname, port } = new URL(world.url);
  const socket = connect(Number(port), hostname);
  const chunk = (text: string): void => void socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  socket.write(
    `POST /subscriptions/import?id=${id} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: ${NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const rows = (from: number): string =>
    ndjson(Array.from({ length: 1_000 }, (_, i) => ({ email: `j${from + i}@example.com`, status: 'active' })));
  chunk(rows(0));
  await eventually(async () => (await api().get(`/imports/${id}`)).status === 200);
  const source = await EventSource.open(`${world.url}/imports/${id}`);
  const events = source.events();
  let last: Record<string, unknown> | undefined;
  const seen = async (holds: (job: Record<string, unknown>) => boolean): Promise<void> => {
    for (;;) {
      const { value } = await events.next();
      if (!value) throw new Error(`The stream ended early, with ${JSON.stringify(last)}`);
      last = JSON.parse(value.data!) as Record<string, unknown>;
      if (holds(last)) return;
    }
  };
  await seen(({ state, created }) => state === 'running' && created === 1_000);
  chunk(rows(1_000));
  await seen(({ lines }) => lines === 2_000);
  socket.destroy();
  await seen(({ state, error }) => state === 'failed' && error === 'The connection ended before the file did');
  expect((await events.next()).done).toBe(true);
  expect((await world.db1.query(`SELECT FROM subscriptions WHERE email ~ '^j\\d'`)).rowCount).toBe(2_000);
});

test('a process that stops answers an import whose sender pauses, and the lines that it has read are written', async () => {
  const beside = await world.startBeside({ servers: [['api']] });
  const id = randomUUID();
  const sent = rawRequest(`${beside.url}/subscriptions/import?id=${id}`, { method: 'POST', headers: { 'content-type': NDJSON } });
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.write(ndjson([{ email: 'paused@example.com', status: 'active' }]));
  await eventually(async () => (await api().get(`/imports/${id}`)).body.lines === 1);
  const stopped = beside.stop();
  const [response] = await answered;
  expect([response.statusCode, JSON.parse(await text(response))]).toMatchObject([
    503,
    { detail: expect.stringMatching(/^The service is stopping/) },
  ]);
  await stopped;
  sent.destroy();
  expect((await api().get(`/imports/${id}`)).body).toMatchObject({ state: 'failed', lines: 1, created: 1 });
});

test('wrong requests are refused with their problem', async () => {
  await send('{}', 'application/json').expect(415);
  await send('x', 'text/plain').expect(415);
  await api().post('/subscriptions/import').expect(415);
  await api().post('/subscriptions').set('content-type', 'text/csv').send('email,status\n').expect(415);
  await api().put('/subscriptions/x@example.com').set('content-type', NDJSON).send('{"status":"active"}').expect(415);
  await send('', NDJSON, '?dry_run=maybe').expect(400);
  await send('', NDJSON, '?id=7').expect(400);
  await api().get('/imports/7').expect(400);
  await api().get(`/imports/${randomUUID()}`).expect(404);
  const { body } = await send('').expect(201);
  expect(body).toMatchObject({ state: 'finished', lines: 0 });
  await send('', NDJSON, `?id=${body.id}`).expect(409);
});

test('an import without progress reports from its process is interrupted', async () => {
  const { rows } = await world.db1.query<{ id: string }>(
    `INSERT INTO subscription_sync.imports (dry_run, changed_at) VALUES (false, now() - interval '1 hour') RETURNING id`,
  );
  expect((await api().get(`/imports/${rows[0]!.id}`).expect(200)).body).toMatchObject({ state: 'interrupted' });
});

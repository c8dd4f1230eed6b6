import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request with exactly these lines of its head: clients of the test add or drop headers. */
async function send(start: string, headers: readonly string[], body = ''): Promise<Answer> {
  const { hostname, port } = new URL(world.url);
  const head = [`${start} HTTP/1.1`, `Host: ${hostname}`, 'Connection: close', ...headers].join('\r\n');
  const text = await new Promise<string>((resolve, reject) => {
    let received = '';
    const socket = connect(Number(port), hostname, () => socket.write(`${head}\r\n\r\n${body}`));
    socket
      .on('data', (chunk) => (received += chunk.toString()))
      .on('end', () => resolve(received))
      .on('error', reject);
  });
  return { status: Number(text.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)), body: text.slice(text.indexOf('\r\n\r\n') + 4) };
}

describe('a request that names the type of a body and has none', () => {
  const TYPE = 'Content-Type: application/json';
  const EMPTY: readonly (readonly [name: string, headers: readonly string[], body: string])[] = [
    ['without a length', [TYPE], ''],
    ['with a length of 0', [`${TYPE}; charset=utf-8`, 'Content-Length: 0'], ''],
    ['chunked', [TYPE, 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
  ];

  test.each(EMPTY)('is a DELETE as any other: %s', async (_, headers, body) => {
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('leaver@example.com', 'active')`);
    expect(await send('DELETE /subscriptions/leaver@example.com', headers, body)).toEqual({ status: 204, body: '' });
    expect(await send('DELETE /subscriptions/leaver@example.com', headers, body)).toMatchObject({ status: 404 });
  });

  test.each(EMPTY)('is a POST that needs none as any other: %s', async (_, headers, body) => {
    expect(await send('POST /reconciliation/runs/999999/pause', headers, body)).toMatchObject({ status: 404 });
  });

  test.each(EMPTY)('is a clear 400 where a body is needed: %s', async (_, headers, body) => {
    for (const start of ['POST /subscriptions', 'PUT /subscriptions/comer@example.com', 'PATCH /subscriptions/comer@example.com']) {
      const answer = await send(start, headers, body);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({
        type: '/problems/invalid-request',
        detail: 'The body must be a JSON object, sent as application/json',
      });
    }
  });

  test('a DELETE with a body that is not JSON is still refused', async () => {
    expect(await send('DELETE /subscriptions/leaver@example.com', [TYPE, 'Content-Length: 1'], '{')).toMatchObject({ status: 400 });
  });
});

describe('a number that a JSON parser would round', () => {
  const NUMBERS = '{"order":12345678901234567890,"price":0.1,"parts":[{"weight":0.12345678901234567891}]}';
  const POINTERS = ['/metadata/order', '/metadata/parts/0/weight'];
  const errors = POINTERS.map((pointer) => ({
    field: 'metadata',
    pointer,
    detail: 'cannot be kept exactly: numbers have the precision of a 64-bit float. Send it as a string',
  }));

  function request(start: string, type: string, body: string): Promise<Answer> {
    return send(start, [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`], body);
  }

  async function stored(email: string): Promise<string | undefined> {
    const { rows } = await world.db1.query<{ metadata: string }>('SELECT metadata::text FROM subscriptions WHERE email = $1', [email]);
    return rows[0]?.metadata;
  }

  test.each([
    ['POST /subscriptions', 'application/json'],
    ['PUT /subscriptions/exact@example.com', 'application/json'],
    ['PATCH /subscriptions/exact@example.com', 'application/json'],
    ['PATCH /subscriptions/exact@example.com', 'application/merge-patch+json'],
  ])('is refused by its pointer: %s as %s', async (start, type) => {
    await world.db1.query(
      `INSERT INTO subscriptions (email, status, metadata) VALUES ('exact@example.com', 'active', '{"before":12345678901234567890}')
       ON CONFLICT DO NOTHING`,
    );
    const email = start.startsWith('POST') ? '"email":"inexact@example.com",' : '';
    const answer = await request(start, type, `{${email}"status":"active","metadata":${NUMBERS}}`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ type: '/problems/invalid-request', errors });
    expect(await stored('exact@example.com')).toBe('{"before": 12345678901234567890}');
    expect(await stored('inexact@example.com')).toBeUndefined();
  });

  test('is kept where a patch leaves it', async () => {
    await world.db1.query(
      `INSERT INTO subscriptions (email, status, metadata) VALUES ('kept@example.com', 'active', '{"before":12345678901234567890}')`,
    );
    const answer = await request('PATCH /subscriptions/kept@example.com', 'application/json', '{"metadata":{"after":9007199254740992}}');
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('12345678901234567890');
    expect(await stored('kept@example.com')).toBe('{"after": 9007199254740992, "before": 12345678901234567890}');
  });

  test.each([
    ['NDJSON', 'application/x-ndjson', `{"email":"lines@example.com","status":"active","metadata":${NUMBERS}}\n`, 1],
    ['CSV', 'text/csv', `email,status,metadata\nlines@example.com,active,"${NUMBERS.replaceAll('"', '""')}"\n`, 2],
  ])('refuses its line of an import, and no other: %s', async (name, type, file, line) => {
    const other =
      name === 'CSV'
        ? 'next@example.com,active,"{""a"":1.5e3}"\n'
        : '{"email":"next@example.com","status":"active","updated_at":12345678901234567890}\n';
    const answer = await request('POST /subscriptions/import', type, file + other);
    expect(answer.status).toBe(201);
    expect(JSON.parse(answer.body)).toMatchObject({ lines: 2, refused: 1, errors: errors.map((error) => ({ line, ...error })) });
    expect(await stored('lines@example.com')).toBeUndefined();
    expect(await stored('next@example.com')).toBeDefined();
  });
});

describe('the two spellings of an internationalised domain', () => {
  const SPELLINGS = ['ada@münchen.example', 'ada@xn--mnchen-3ya.example'];
  const CHECK = 'It is compared as it is spelled: the other spelling of its domain is another email';

  test.each(SPELLINGS)('are two emails, of which each has one identity in any case and form: %s', async (email) => {
    const [other] = SPELLINGS.filter((spelling) => spelling !== email);
    await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'ada@%.example'`);
    const body = JSON.stringify({ email: ` ${email.toUpperCase().normalize('NFD')}`, status: 'active' });
    const created = await send(
      'POST /subscriptions',
      ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`],
      body,
    );
    expect(created).toMatchObject({ status: 201, body: expect.stringContaining(`"email":"${email}"`) });
    expect(await send(`GET /subscriptions/${encodeURIComponent(email)}`, [])).toMatchObject({ status: 200 });

    for (const method of ['GET', 'DELETE']) {
      const missing = await send(`${method} /subscriptions/${encodeURIComponent(other!)}`, []);
      expect(missing.status).toBe(404);
      expect(JSON.parse(missing.body)).toMatchObject({ detail: `No subscription has this email. ${CHECK}` });
    }
    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'paused')`, [other]);
    expect(await send(`GET /subscriptions/${encodeURIComponent(email)}`, [])).toMatchObject({
      body: expect.stringContaining('"status":"active"'),
    });
  });

  test('are not mentioned for an email whose domain has one', async () => {
    expect(JSON.parse((await send('GET /subscriptions/nobody@plain.example', [])).body)).toMatchObject({
      detail: 'No subscription has this email',
    });
  });
});

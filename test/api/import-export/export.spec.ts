import { afterAll, beforeAll, expect, test } from '@jest/globals';
import request from 'supertest';
import { parse } from 'csv-parse/sync';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);
const DANGEROUS = ['=1+1', '+1', '-1', '@a', '\tx', '\rx', `'=x`, `'quoted`, '＝1', 'a,"b"\r\nc', 'fine', `it's`];

async function fill(): Promise<void> {
  for (const [i, plan] of DANGEROUS.entries()) {
    await world.db1.query(`INSERT INTO subscriptions (email, status, plan, metadata) VALUES ($1, 'active', $2, '{"n": 1.50, "a": "ä"}')`, [
      `${'+=-'[i % 4] ?? ''}r${i}@example.com`,
      plan,
    ]);
  }
  await world.db1.query(
    `INSERT INTO subscriptions (email, status, access_until, metadata)
     SELECT 'x' || i || '@example.com', 'paused', '2027-01-31T00:00:00.123456Z', jsonb_build_object('big', repeat('x', 500)) FROM generate_series(1, 2500) i`,
  );
}

async function stored(): Promise<unknown[]> {
  const { rows } = await world.db1.query('SELECT email, status, plan, access_until::text, metadata FROM subscriptions ORDER BY email');
  return rows;
}

async function importFile(file: string, type: string): Promise<Record<string, unknown>> {
  const { body } = await api()
    .post('/subscriptions/import')
    .set('content-type', type)
    .serialize((text: unknown) => text as string)
    .send(file)
    .expect(201);
  return body as Record<string, unknown>;
}

test('exports all rows in both formats with formulas escaped, and each export can be imported unchanged', async () => {
  await fill();
  const before = await stored();
  const text = (path: string, accept = '*/*'): request.Test =>
    api()
      .get(path)
      .set('accept', accept)
      .buffer(true)
      .parse((response, done) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => done(null, Buffer.concat(chunks).toString()));
      });
  const ndjson = await text('/subscriptions/export').expect(200);
  expect(ndjson.headers).toMatchObject({
    'content-type': 'application/x-ndjson; charset=utf-8',
    'content-disposition': 'attachment; filename="subscriptions.ndjson"',
  });
  const lines = (ndjson.body as string).trimEnd().split('\n');
  expect(lines).toHaveLength(before.length);
  expect(lines[0]).toContain('"n": 1.50');
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ email: 'x9@example.com', access_until: '2027-01-31T00:00:00.123456+00:00' });

  const csv = await text('/subscription_status/export', 'text/csv').expect(200);
  expect(csv.headers['content-type']).toMatch(/^text\/csv/);
  expect((await text('/subscriptions/export?format=csv').expect(200)).body).toBe(csv.body);
  const cells: string[][] = parse(csv.body as string);
  expect(cells).toHaveLength(before.length + 1);
  expect(cells.flat().filter((cell) => /^[=+\-@\t\r＝＋－＠]/.test(cell))).toEqual([]);

  for (const [file, type] of [
    [ndjson.body as string, 'application/x-ndjson'],
    [csv.body as string, 'text/csv'],
  ] as const) {
    await world.db1.query('DELETE FROM subscriptions');
    expect(await importFile(file, type)).toMatchObject({ lines: before.length, created: before.length, refused: 0 });
    expect(await stored()).toEqual(before);
    expect(await importFile(file, type)).toMatchObject({ unchanged: before.length });
  }
});

test('the export stops reading when its client disconnects', async () => {
  const left = new AbortController();
  const response = await fetch(`${world.url}/subscriptions/export`, { signal: left.signal });
  await response.body!.getReader().read();
  left.abort();
  for (let i = 0; i < 6; i += 1) {
    const next = await fetch(`${world.url}/subscriptions/export?format=csv`);
    expect(next.status).toBe(200);
    await next.body!.cancel();
  }
});

test('an unknown format is 400', async () => {
  await api().get('/subscriptions/export?format=xml').expect(400);
});

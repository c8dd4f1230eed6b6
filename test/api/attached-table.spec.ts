import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { World } from '../harness/world.js';

/** An application on a table of another program, whose columns have names and types of their own. */
const TABLE = `
CREATE SCHEMA crm;
CREATE TYPE crm.subscriber_state AS ENUM ('enabled', 'disabled', 'blocklisted');
CREATE TABLE crm.subscribers (
  id serial PRIMARY KEY,
  uuid uuid NOT NULL DEFAULT gen_random_uuid(),
  email_address varchar(320) UNIQUE NOT NULL,
  name text NOT NULL DEFAULT '',
  attribs jsonb NOT NULL DEFAULT '{}',
  state crm.subscriber_state NOT NULL DEFAULT 'enabled',
  updated_at timestamptz NOT NULL DEFAULT now()
)`;
const SETTINGS = { DB1_TABLE: 'crm.subscribers', DB1_KEY_COLUMN: 'email_address', DB1_STATUS_COLUMN: 'state' };

let world: World;
let definition: unknown[];
const api = (): ReturnType<typeof request> => request(world.url);
const pathOf = (email: string): string => `/subscriptions/${encodeURIComponent(email)}`;
const sql = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> =>
  (await world.db1.query<Row>(text, values)).rows;
const create = async (email: string, status = 'enabled'): Promise<void> => {
  await api().post('/subscriptions').send({ email, status }).expect(201);
};

const DEFINITION = `
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute WHERE attrelid = 'crm.subscribers'::regclass AND attnum > 0
UNION ALL SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indrelid = 'crm.subscribers'::regclass
ORDER BY 1`;

beforeAll(async () => {
  world = await World.create({ unmigrated: true, servers: [['api']], env: SETTINGS });
  await sql(TABLE);
  definition = await sql(DEFINITION);
  await sql(
    `INSERT INTO crm.subscribers (email_address, name) SELECT 'before' || n || '@example.com', 'Before' FROM generate_series(1, 3) n`,
  );
  await world.start();
  await world.ready();
});
afterAll(() => world.close());

test('the table gets no column and no index, and no table of the service is made beside it', async () => {
  expect(await sql(DEFINITION)).toEqual(definition);
  expect(await sql(`SELECT to_regclass('subscriptions') AS name`)).toEqual([{ name: null }]);
});

test('a subscription is created, read, replaced, changed and deleted', async () => {
  const email = 'ada@example.com';
  const created = await api().post('/subscriptions').send({ email: ' Ada@Example.com ', status: 'enabled' }).expect(201);
  expect(Object.keys(created.body as object)).toEqual(['email', 'status', 'updated_at', 'id', 'uuid', 'name', 'attribs', 'version']);
  const { version: _, ...row } = created.body as Record<string, unknown>;
  expect(row).toMatchObject({ email, status: 'enabled', name: '', attribs: {} });
  const read = await api().get(pathOf(email)).expect(200);
  expect(read.body).toEqual(row);
  expect(read.headers['etag']).toBe(created.headers['etag']);

  await api().post('/subscriptions').send({ email, status: 'enabled' }).expect(409);
  await api().put(pathOf(email)).set('if-match', '"other"').send({ status: 'disabled' }).expect(412);
  const put = await api().put(pathOf(email)).set('if-match', read.headers['etag']!).send({ status: 'disabled' }).expect(200);
  expect(put.body).toMatchObject({ id: row['id'], uuid: row['uuid'], status: 'disabled' });
  expect(Date.parse(put.body.updated_at as string)).toBeGreaterThan(Date.parse(row['updated_at'] as string));
  expect((await api().patch(pathOf(email)).send({ status: 'blocklisted' }).expect(200)).body).toMatchObject({ status: 'blocklisted' });
  expect((await api().patch(pathOf(email)).send({ status: 'enabled' }).expect(200)).body).toMatchObject({ status: 'enabled' });
  expect(await sql('SELECT email_address, state FROM crm.subscribers WHERE email_address = $1', [email])).toEqual([
    { email_address: email, state: 'enabled' },
  ]);

  await api().delete(pathOf(email)).expect(204);
  await api().get(pathOf(email)).expect(404);
  const { body: history } = await api()
    .get(`${pathOf(email)}/history`)
    .expect(200);
  expect((history.data as { operation: string }[]).map(({ operation }) => operation)).toEqual([
    'deleted',
    'updated',
    'updated',
    'updated',
    'created',
  ]);
});

test('a row from before the installation has its history, and can be changed', async () => {
  await api()
    .get(`${pathOf('before1@example.com')}/history`)
    .expect(200);
  const changed = await api().put(pathOf('before1@example.com')).send({ status: 'disabled' }).expect(200);
  expect(changed.body).toMatchObject({ name: 'Before', status: 'disabled' });
});

describe('a row whose email another program wrote in another spelling', () => {
  const written = 'Grace@Example.com';
  const email = 'grace@example.com';

  test('is found, changed and deleted by the normalised email, and never doubled', async () => {
    await sql('INSERT INTO crm.subscribers (email_address) VALUES ($1)', [written]);
    const read = await api().get(pathOf(email)).expect(200);
    expect(read.body).toMatchObject({ email: written, status: 'enabled' });
    await api().post('/subscriptions').send({ email, status: 'enabled' }).expect(409);
    await api().put(pathOf(email)).set('if-match', '"other"').send({ status: 'disabled' }).expect(412);
    await api().put(pathOf(email)).set('if-none-match', '*').send({ status: 'disabled' }).expect(412);
    await api().put(pathOf(written)).set('if-match', read.headers['etag']!).send({ status: 'disabled' }).expect(200);
    await api().patch(pathOf(email)).send({ status: 'blocklisted' }).expect(200);
    const imported = await api()
      .post('/subscriptions/import')
      .set('content-type', 'application/x-ndjson')
      .send(JSON.stringify({ email, status: 'enabled' }))
      .expect(201);
    expect(imported.body).toMatchObject({ updated: 1, created: 0, refused: 0 });
    expect(await sql('SELECT email_address, state FROM crm.subscribers WHERE lower(email_address) = $1', [email])).toEqual([
      { email_address: written, state: 'enabled' },
    ]);
    const { body: history } = await api()
      .get(`${pathOf(email)}/history`)
      .expect(200);
    expect(history.data).toHaveLength(4);
    await api().delete(pathOf(email)).expect(204);
    await api().get(pathOf(email)).expect(404);
    await create(email);
    expect((await api().get(pathOf(email)).expect(200)).body).toMatchObject({ email });
    await api().delete(pathOf(email)).expect(204);
  });
});

describe('400 names', () => {
  test.each([
    ['a field that the table lacks', { plan: 'pro', metadata: {} }, ['plan', 'metadata']],
    ['a column that the API does not set', { name: 'Ada' }, ['name']],
    ['the column of the status', { state: 'enabled' }, ['state']],
  ])('%s', async (_, fields, names) => {
    for (const answer of [
      api()
        .post('/subscriptions')
        .send({ email: 'linus@example.com', status: 'enabled', ...fields }),
      api()
        .put(pathOf('before2@example.com'))
        .send({ status: 'disabled', ...fields }),
      api().patch(pathOf('before2@example.com')).send(fields),
    ]) {
      const { body } = await answer.expect(400);
      expect((body.errors as { field: string }[]).map(({ field }) => field).sort()).toEqual([...names].sort());
    }
    expect((await api().get(pathOf('before2@example.com')).expect(200)).body).toMatchObject({ status: 'enabled' });
    await api().get(pathOf('linus@example.com')).expect(404);
  });

  test('a status that the enum type lacks, with those that it has', async () => {
    const { body } = await api().post('/subscriptions').send({ email: 'linus@example.com', status: 'active' }).expect(400);
    expect(body.errors).toEqual([{ field: 'status', detail: 'must be one of enabled, disabled, blocklisted', pointer: '/status' }]);
    const { body: filtered } = await api().get('/subscriptions?status=active').expect(400);
    expect(filtered.errors).toEqual([{ field: 'status', detail: 'must be one of enabled, disabled, blocklisted' }]);
  });

  test('a filter by a column that the table lacks', async () => {
    const { body } = await api().get('/subscriptions?plan=pro').expect(400);
    expect(body.errors).toMatchObject([{ field: 'plan' }]);
  });

  test('a column that must have a value and has no default', async () => {
    await sql('ALTER TABLE crm.subscribers ALTER name DROP DEFAULT');
    const { body } = await api().post('/subscriptions').send({ email: 'linus@example.com', status: 'enabled' }).expect(400);
    expect(body.detail).toContain('column name must have a value');
    const imported = await importFile('application/x-ndjson', JSON.stringify({ email: 'linus@example.com', status: 'enabled' }));
    expect(imported).toMatchObject({ refused: 1, errors: [{ line: 1, detail: expect.stringContaining('column name must have a value') }] });
    await sql(`ALTER TABLE crm.subscribers ALTER name SET DEFAULT ''`);
  });
});

async function importFile(type: string, text: string, status = 201): Promise<Record<string, unknown>> {
  const { body } = await api().post('/subscriptions/import').set('content-type', type).send(text).expect(status);
  return body as Record<string, unknown>;
}

describe('an import', () => {
  test('writes the columns that the table has, and names the errors of other lines', async () => {
    const lines = [
      { email: 'one@example.com', status: 'disabled' },
      { email: 'two@example.com', status: 'active' },
      { email: 'three@example.com', status: 'enabled', plan: 'pro' },
      { email: 'four@example.com', status: 'enabled', colour: 'red' },
    ];
    const job = await importFile('application/x-ndjson', lines.map((line) => JSON.stringify(line)).join('\n'));
    expect(job).toMatchObject({ created: 1, refused: 3 });
    expect(job['errors']).toMatchObject([
      { line: 2, field: 'status', detail: 'must be one of enabled, disabled, blocklisted' },
      { line: 3, field: 'plan' },
      { line: 4, detail: expect.stringContaining('known are email, status, reactivate') },
    ]);
  });

  test('refuses a CSV header that names a column which the table lacks', async () => {
    const problem = await importFile('text/csv', 'email,status,plan\r\nfive@example.com,enabled,pro\r\n', 422);
    expect(problem['detail']).toContain('lacks: plan');
  });

  test.each(['ndjson', 'csv'])('accepts the file of an export (%s)', async (format) => {
    await create(`${format}@example.com`);
    const { text, headers } = await api().get(`/subscriptions/export?format=${format}`).buffer(true).parse(asText).expect(200);
    const exported = text ?? '';
    expect(exported).toContain(`${format}@example.com`);
    const job = await importFile(String(headers['content-type']).split(';')[0]!, exported);
    const [{ count }] = (await sql<{ count: number }>('SELECT count(*)::int AS count FROM crm.subscribers')) as [{ count: number }];
    expect(job).toMatchObject({ lines: count, unchanged: count, refused: 0 });
  });
});

function asText(answer: request.Response, done: (error: Error | null, body: string) => void): void {
  let text = '';
  answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
  answer.on('end', () => {
    answer.text = text;
    done(null, text);
  });
}

describe('a list', () => {
  const emailsOf = async (query: Record<string, string>): Promise<string[]> => {
    const emails: string[] = [];
    for (let cursor: string | undefined; ;) {
      const { body } = await api()
        .get('/subscriptions')
        .query({ ...query, limit: '2', ...(cursor === undefined ? {} : { cursor }) })
        .expect(200);
      emails.push(...(body.data as { email: string }[]).map(({ email }) => email));
      if (body.next_cursor === null) return emails;
      cursor = body.next_cursor as string;
    }
  };

  test('has every row once, in the order of the index', async () => {
    await sql(
      `INSERT INTO crm.subscribers (email_address, state) VALUES ('List1@example.com', 'disabled'), ('list2@example.com', 'disabled'), ('LIST3@example.com', 'enabled')`,
    );
    const rows = await sql<{ email: string }>('SELECT email_address AS email FROM crm.subscribers ORDER BY email_address');
    const inOrder = rows.map(({ email }) => email);
    expect(await emailsOf({})).toEqual(inOrder);
    expect(await emailsOf({ sort: '-email' })).toEqual([...inOrder].reverse());
  });

  test('can be filtered by status and by prefix, whatever the spelling', async () => {
    const disabled = await sql<{ email: string }>(
      `SELECT email_address AS email FROM crm.subscribers WHERE state = 'disabled' ORDER BY email_address`,
    );
    expect(await emailsOf({ status: 'disabled' })).toEqual(disabled.map(({ email }) => email));
    expect((await emailsOf({ email_prefix: 'LIST' })).sort()).toEqual(['LIST3@example.com', 'List1@example.com', 'list2@example.com']);
    expect(await emailsOf({ email_prefix: 'list', status: 'enabled' })).toEqual(['LIST3@example.com']);
  });
});

test('a json column with \\u0000, which PostgreSQL does not read, is in the answers and in the history', async () => {
  const email = 'nul@example.com';
  await sql('ALTER TABLE crm.subscribers ADD COLUMN raw json');
  await world.stop();
  await world.start();
  await world.ready();
  await sql('INSERT INTO crm.subscribers (email_address, raw) VALUES ($1, $2)', [email, String.raw`{"a": "1\u0000", "n": 1e999}`]);
  await sql('UPDATE crm.subscribers SET raw = $2 WHERE email_address = $1', [email, String.raw`"2\u0000"`]);
  await api().patch(pathOf(email)).send({ status: 'disabled' }).expect(200);
  expect((await api().get(pathOf(email)).expect(200)).body).toMatchObject({ raw: '2\u0000' });
  const { body, text } = await api()
    .get(`${pathOf(email)}/history`)
    .expect(200);
  expect(body.data).toMatchObject([
    { changes: { state: { from: 'enabled', to: 'disabled' } }, subscription: { raw: '2\u0000' } },
    { changes: { raw: { from: { a: '1\u0000' }, to: '2\u0000' } } },
    { operation: 'created', changes: {}, subscription: { raw: { a: '1\u0000' } } },
  ]);
  expect(text).toContain(String.raw`"from":{"a":"1\u0000","n":1e999}`);
  await api().delete(pathOf(email)).expect(204);
});

test('with STATUSES, a status column without an enum type accepts those, and any may follow any', async () => {
  await World.lend(
    async (other) => {
      await other.start();
      await other.ready();
      const api = request(other.url);
      await api.post('/subscriptions').send({ email: 'ada@example.com', status: 'on' }).expect(201);
      await api.patch(pathOf('ada@example.com')).send({ status: 'off' }).expect(200);
      await api.patch(pathOf('ada@example.com')).send({ status: 'on' }).expect(200);
      const { body } = await api.patch(pathOf('ada@example.com')).send({ status: 'active' }).expect(400);
      expect(body.errors).toEqual([{ field: 'status', detail: 'must be one of on, off', pointer: '/status' }]);
    },
    { servers: [['api']], env: { STATUSES: 'on,off' } },
  );
});

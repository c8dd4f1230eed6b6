import { hostname, userInfo } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { callCli } from '../../harness/command-line.js';
import { bearer, Issuer, makeKey } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';
import { NDJSON, ndjson } from '../import-export/send-file.js';

interface Entry {
  readonly id: number;
  readonly action: string;
  readonly recorded_at: string;
  readonly details: Record<string, unknown>;
}

let issuer: Issuer;
let world: World;
let admin: string;

beforeAll(async () => {
  issuer = await Issuer.start();
  const shared = await World.shared();
  world = await shared.startBeside({
    servers: [['api']],
    env: { ...issuer.environment, ACCESS: 'required', TRUSTED_PROXIES: '127.0.0.1' },
  });
  admin = await makeKey(world.db1, 'admin', 'read', 'write', 'export');
});
beforeEach(() => world.db1.query('TRUNCATE subscription_sync.audit'));
afterAll(async () => {
  await world.stop();
  await issuer.stop();
});

const idOf = (key: string): string => key.split('_')[1]!;
const actorOf = (key: string): string => `key:test admin read write export:${idOf(key)}`;

async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${world.url}${path}`, {
    method,
    headers: {
      ...bearer(admin),
      'x-forwarded-for': '198.51.100.7',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json;') ?? false;
  return { status: response.status, headers: response.headers, body: text !== '' && isJson ? JSON.parse(text) : text };
}

const entries = async (query = ''): Promise<Entry[]> => (await send('GET', `/access/audit${query}`)).body.data;

describe('the audit log', () => {
  test('has who created, rotated and revoked a key, from where, when and by which request', async () => {
    const made = await send('POST', '/access/keys', { name: 'billing-job', scopes: ['write', 'read'], expires_in: 3_600 });
    const next = await send('POST', `/access/keys/${made.body.id}/rotate`, { overlap: 60 });
    const revoked = await send('DELETE', `/access/keys/${next.body.id}`);
    const by = { actor: actorOf(admin), address: '198.51.100.7', database_user: world.addresses.db1.user };
    const at = (response: typeof made): object => ({ request_id: response.headers.get('x-request-id') });
    expect(await entries()).toMatchObject([
      { ...by, ...at(revoked), action: 'key.revoke', target: next.body.id, details: {} },
      { ...by, ...at(next), action: 'key.rotate', target: made.body.id, details: { next: next.body.id, overlap: 60 } },
      {
        ...by,
        ...at(made),
        action: 'key.create',
        target: made.body.id,
        details: { name: 'billing-job', scopes: ['read', 'write'], expires_in: 3_600 },
      },
    ]);
    const [{ recorded_at }] = (await entries()) as [Entry];
    expect(Math.abs(Date.parse(recorded_at) - Date.now())).toBeLessThan(60_000);
  });

  test('has no secret, and nothing about a request that was refused', async () => {
    const { body } = await send('POST', '/access/keys', { name: 'x', scopes: ['read'] });
    expect((await send('POST', '/access/keys', { name: 'x', scopes: ['root'] })).status).toBe(400);
    expect((await send('DELETE', '/access/keys/0123456789abcdef')).status).toBe(404);
    expect((await send('POST', '/access/keys/0123456789abcdef/rotate', {})).status).toBe(404);
    expect((await send('GET', '/access/audit', undefined, bearer(body.key))).status).toBe(403);
    const listed = await entries();
    expect(listed.map(({ action }) => action)).toEqual(['key.create']);
    expect(JSON.stringify(listed)).not.toContain(body.key.slice(21));
  });

  test('has the beginning and the end of an import, and of an export', async () => {
    const file = ndjson([{ email: 'audited@example.com', status: 'active' }, { email: 'nonsense' }]);
    const { body } = await send('POST', '/subscriptions/import', file, { 'content-type': NDJSON });
    await send('GET', '/subscriptions/export?format=csv');
    await send('HEAD', '/subscriptions/export');
    const listed = await eventually(async () => {
      const found = await entries();
      return found.length === 4 ? found : undefined;
    });
    expect(listed).toMatchObject([
      { action: 'export.end', target: null, details: { format: 'csv', complete: true } },
      { action: 'export.begin', target: null, details: { format: 'csv' } },
      { action: 'import.end', target: body.id, details: { state: 'finished', lines: 2, created: 1, refused: 1 } },
      { action: 'import.begin', target: body.id, details: { dry_run: false } },
    ]);
    expect(listed[0]!.details['rows']).toBeGreaterThan(0);
    expect(JSON.stringify(listed)).not.toContain('audited@');
  });

  test('has an import that failed, and an export that was cut off', async () => {
    expect((await send('POST', '/subscriptions/import', '[{"email"', { 'content-type': 'application/json' })).status).toBe(422);
    await world.db1.query(
      `INSERT INTO subscriptions (email, status, metadata)
       SELECT 'cut' || i || '@example.com', 'active', jsonb_build_object('big', repeat('x', 1000)) FROM generate_series(1, 5000) i`,
    );
    const stop = new AbortController();
    const response = await fetch(`${world.url}/subscriptions/export`, { headers: bearer(admin), signal: stop.signal });
    await response.body!.getReader().read();
    stop.abort();
    const listed = await eventually(async () => {
      const found = await entries();
      return found.length === 4 ? found : undefined;
    });
    expect(listed[0]).toMatchObject({ action: 'export.end', details: { complete: false } });
    expect(listed[2]).toMatchObject({ action: 'import.end', details: { state: 'failed' } });
    await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'cut%'`);
  });

  test('has a pseudonym for a token whose subject is an email', async () => {
    const token = await issuer.token({ sub: 'ada@example.com', scope: 'admin' });
    expect((await send('POST', '/access/keys', { name: 'x', scopes: ['read'] }, bearer(token))).status).toBe(201);
    const { rows } = await world.db1.query<{ row: string; actor: string }>('SELECT audit::text AS row, actor FROM subscription_sync.audit');
    expect(rows).toEqual([{ row: expect.not.stringContaining('ada@'), actor: expect.stringMatching(/^oidc:[\w-]{22}$/) }]);
  });

  test('has the acts of the command line, with its user and host', async () => {
    const key = (await callCli(['keys', 'create', '--name', 'me', '--scopes', 'read'], world.environment())).stdout.split('\n')[0]!;
    const next = (await callCli(['keys', 'rotate', idOf(key)], world.environment())).stdout.split('\n')[0]!;
    await callCli(['keys', 'revoke', idOf(next)], world.environment());
    const by = { actor: `cli:${userInfo().username}`, address: hostname(), request_id: null };
    expect(await entries()).toMatchObject([
      { ...by, action: 'key.revoke', target: idOf(next) },
      { ...by, action: 'key.rotate', target: idOf(key) },
      { ...by, action: 'key.create', target: idOf(key) },
    ]);
  });

  test('is listed in pages, and by actor, action and time', async () => {
    for (let i = 1; i <= 5; i += 1) {
      await world.db1.query(`INSERT INTO subscription_sync.audit (actor, action, details, recorded_at) VALUES ($1, $2, '{}', $3)`, [
        i % 2 ? 'odd' : 'even',
        i < 4 ? 'run.start' : 'run.pause',
        `2026-01-0${i}T00:00:00Z`,
      ]);
    }
    const days = async (query: string): Promise<number[]> =>
      (await entries(query)).map(({ recorded_at }) => Number(recorded_at.slice(8, 10)));
    const pages: number[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const { body } = await send('GET', `/access/audit?limit=2${cursor && `&cursor=${cursor}`}`);
      pages.push(...body.data.map(({ recorded_at }: Entry) => Number(recorded_at.slice(8, 10))));
      cursor = body.next_cursor;
    }
    expect(pages).toEqual([5, 4, 3, 2, 1]);
    expect(await days('?actor=odd')).toEqual([5, 3, 1]);
    expect(await days('?action=run.start')).toEqual([3, 2, 1]);
    expect(await days('?since=2026-01-02T00:00:00Z&until=2026-01-04T00:00:00Z&actor=even')).toEqual([2]);
    for (const query of ['action=nonsense', 'since=yesterday', 'until=2026-13-01T00:00:00Z', 'since=2026-01-01', 'actor=a%00', 'email=x']) {
      expect([query, (await send('GET', `/access/audit?${query}`)).status]).toEqual([query, 400]);
    }
  });
});

test('an act that cannot be recorded is not done', async () => {
  const count = async (table: string): Promise<number> => (await world.db1.query(`SELECT FROM ${table}`)).rowCount!;
  const before = await count('subscription_sync.api_keys');
  await world.db1.query('ALTER TABLE subscription_sync.audit ADD CONSTRAINT refuse CHECK (false) NOT VALID');
  try {
    expect((await send('POST', '/access/keys', { name: 'unseen', scopes: ['read'] })).status).toBe(500);
    expect((await send('DELETE', `/access/keys/${idOf(admin)}`)).status).toBe(500);
    const exported = await send('GET', '/subscriptions/export');
    expect([exported.status, exported.body]).toEqual([500, expect.objectContaining({ type: '/problems/internal-error' })]);
    const file = ndjson([{ email: 'unseen@example.com', status: 'active' }]);
    expect((await send('POST', '/subscriptions/import', file, { 'content-type': NDJSON })).status).toBe(500);
  } finally {
    await world.db1.query('ALTER TABLE subscription_sync.audit DROP CONSTRAINT refuse');
  }
  expect(await count('subscription_sync.api_keys')).toBe(before);
  expect(await count(`subscriptions WHERE email = 'unseen@example.com'`)).toBe(0);
  expect((await send('GET', '/access/audit')).status).toBe(200);
});

test('entries end after AUDIT_RETENTION_DAYS, and no process can delete those of the last 30 days', async () => {
  await world.db1.query(
    `INSERT INTO subscription_sync.audit (actor, action, details, recorded_at)
     SELECT 'test', 'run.start', '{}', now() - make_interval(days => d) FROM unnest('{29, 31, 39, 41, 500}'::int[]) d`,
  );
  const ages = async (): Promise<number[]> =>
    (
      await world.db1.query<{ age: number }>(
        'SELECT extract(day FROM now() - recorded_at)::int AS age FROM subscription_sync.audit ORDER BY 1',
      )
    ).rows.map(({ age }) => age);
  const beside = await world.startBeside({ servers: [['api']], env: { AUDIT_RETENTION_DAYS: '40' } });
  try {
    await eventually(async () => (await ages()).join() === '29,31,39');
  } finally {
    await beside.stop();
  }
  await world.db1.query('SELECT subscription_sync.prune_audit(0)');
  expect(await ages()).toEqual([29]);
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { callCli, type CommandResult, runCli } from '../../harness/command-line.js';
import { bearer, makeKey } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;
let admin: string;

beforeAll(async () => {
  const shared = await World.shared();
  world = await shared.startBeside({
    servers: [['api'], ['api']],
    env: { ACCESS: 'required', AUTH_FAILURES_PER_ADDRESS: '0' },
    timings: { auth: DEFAULT_TIMINGS.auth },
  });
  admin = await makeKey(world.db1, 'admin');
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('known@example.com')`);
});
afterAll(() => world.stop());

const idOf = (key: string): string => key.split('_')[1]!;

async function api(method: string, path: string, body?: unknown, key = admin) {
  const response = await fetch(`${world.url}${path}`, {
    method,
    headers: { ...bearer(key), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const answer = await response.text();
  return { status: response.status, body: answer === '' ? undefined : JSON.parse(answer), headers: response.headers };
}

const mayRead = async (key: string, url = world.url): Promise<number> =>
  (await fetch(`${url}/subscriptions/known@example.com`, { headers: bearer(key) })).status;

describe('a key made by the API', () => {
  test('is shown once, works at once, and is not stored in the database', async () => {
    const { status, body, headers } = await api('POST', '/access/keys', {
      name: 'billing-job',
      scopes: ['write', 'read'],
      expires_in: 3_600,
    });
    expect([status, headers.get('cache-control')]).toEqual([201, 'no-store']);
    expect(body).toMatchObject({
      name: 'billing-job',
      scopes: ['read', 'write'],
      prefix: body.key.slice(0, 20),
      revoked_at: null,
      replaced_by: null,
    });
    expect(body.created_by).toBe(`key:test admin:${idOf(admin)}`);
    expect(Date.parse(body.expires_at) - Date.parse(body.created_at)).toBeCloseTo(3_600_000, -3);
    expect(await mayRead(body.key)).toBe(200);
    const { rows } = await world.db1.query('SELECT api_keys::text AS row FROM subscription_sync.api_keys');
    const secret = body.key.slice(21);
    expect(rows.some(({ row }) => row.includes(secret) || row.includes(Buffer.from(secret).toString('hex')))).toBe(false);
    const listed = await api('GET', '/access/keys');
    expect(JSON.stringify(listed.body)).not.toContain(secret);
    expect(listed.body.data.find(({ id }: { id: string }) => id === body.id)).toMatchObject({ name: 'billing-job' });
  });

  test('is recorded as the actor of its changes', async () => {
    const { body } = await api('POST', '/access/keys', { name: 'support/desk 1', scopes: ['write'] });
    expect((await api('POST', '/subscriptions', { email: 'by-key@example.com', status: 'active' }, body.key)).status).toBe(201);
    const { rows } = await world.db1.query(`SELECT actor FROM subscription_sync.changes WHERE email = 'by-key@example.com'`);
    expect(rows).toEqual([{ actor: `key:support/desk 1:${body.id}` }]);
  });

  test.each([
    [{ name: 'a@example.com', scopes: ['read'] }, ['name']],
    [{ name: '', scopes: ['read'] }, ['name']],
    [{ name: 'x', scopes: [] }, ['scopes']],
    [{ name: 'x', scopes: ['root'] }, ['scopes']],
    [{ name: 'x', scopes: 'read' }, ['scopes']],
    [{ name: 'x', scopes: ['read'], expires_in: 0 }, ['expires_in']],
    [{ name: 'x', scopes: ['read'], expires_in: 1.5 }, ['expires_in']],
    [{ name: 'x', scopes: ['read'], expires_in: null }, ['expires_in']],
    [{ name: 'x', scopes: ['read'], key: 'mine' }, ['key']],
  ])('is not created from %j', async (wish, fields) => {
    const { status, body } = await api('POST', '/access/keys', wish);
    expect([status, [...new Set(body.errors.map(({ field }: { field: string }) => field))]]).toEqual([400, fields]);
  });
});

test('the list has pages, newest first, and its end', async () => {
  const made: string[] = [];
  for (let i = 0; i < 3; i += 1) made.unshift((await api('POST', '/access/keys', { name: `page ${i}`, scopes: ['read'] })).body.id);
  const listed: string[] = [];
  let cursor: string | null = '';
  do {
    const { body } = await api('GET', `/access/keys?limit=2${cursor && `&cursor=${cursor}`}`);
    listed.push(...body.data.map(({ id }: { id: string }) => id));
    cursor = body.next_cursor;
  } while (cursor !== null);
  expect(listed.slice(0, 3)).toEqual(made);
  expect(listed).toContain(idOf(admin));
  expect(new Set(listed).size).toBe(listed.length);
  expect((await api('GET', '/access/keys?cursor=nonsense')).status).toBe(400);
});

test('a rotated key keeps working until its overlap ends, and its successor has the same rights', async () => {
  const old = (await api('POST', '/access/keys', { name: 'rotated', scopes: ['read'], expires_in: 1_000 })).body;
  const { status, body: next } = await api('POST', `/access/keys/${old.id}/rotate`, { overlap: 600 });
  expect(status).toBe(201);
  expect(next).toMatchObject({ name: 'rotated', scopes: ['read'], replaced_by: null });
  expect(Date.parse(next.expires_at) - Date.parse(next.created_at)).toBeCloseTo(1_000_000, -3);
  expect([await mayRead(old.key), await mayRead(next.key)]).toEqual([200, 200]);
  const { rows } = await world.db1.query(
    'SELECT replaced_by, expires_at - clock_timestamp() < $2 AS soon FROM subscription_sync.api_keys WHERE id = $1',
    [old.id, '601 s'],
  );
  expect(rows).toEqual([{ replaced_by: next.id, soon: true }]);
  expect((await api('POST', `/access/keys/${old.id}/rotate`, {})).status).toBe(404);

  await api('POST', `/access/keys/${next.id}/rotate`, { overlap: 0 });
  expect(await mayRead(next.key)).toBe(401);
});

test('a revoked key is refused at once where it was revoked, and within 5 s everywhere', async () => {
  const key = await makeKey(world.db1, 'read');
  for (const url of world.urls) expect(await mayRead(key, url)).toBe(200);
  expect((await api('DELETE', `/access/keys/${idOf(key)}`)).status).toBe(204);
  expect(await mayRead(key)).toBe(401);
  await eventually(async () => (await mayRead(key, world.urls[1])) === 401, 6_000);
  expect((await api('DELETE', `/access/keys/${idOf(key)}`)).status).toBe(204);
  expect((await api('DELETE', '/access/keys/0123456789abcdef')).status).toBe(404);
  expect((await api('DELETE', '/access/keys/nonsense')).status).toBe(400);
});

test('last_used_at shows that a key is used, and is written once', async () => {
  const key = await makeKey(world.db1, 'read');
  const used = async (): Promise<Date | null> =>
    (await world.db1.query('SELECT last_used_at FROM subscription_sync.api_keys WHERE id = $1', [idOf(key)])).rows[0].last_used_at;
  expect(await mayRead(`${key.slice(0, 21)}${'A'.repeat(43)}`)).toBe(401);
  expect(await used()).toBeNull();
  await mayRead(key);
  await eventually(async () => (await used()) !== null);
  const first = await used();
  for (let i = 0; i < 20; i += 1) await mayRead(key);
  expect(await used()).toEqual(first);
});

test('a cached key is not looked up for each request', async () => {
  const key = await makeKey(world.db1, 'read');
  expect(await mayRead(key)).toBe(200);
  // A second look-up would refuse the key.
  await world.db1.query('DELETE FROM subscription_sync.api_keys WHERE id = $1', [idOf(key)]);
  expect(await mayRead(key)).toBe(200);
});

describe('the command line (npx subscription-sync keys)', () => {
  const access = (...args: string[]): Promise<CommandResult> => callCli(['keys', ...args], world.environment());

  test('creates the first key, which creates the others; lists, rotates and revokes keys', async () => {
    const made = await runCli(['keys', 'create', '--name', 'me', '--scopes', 'admin,read', '--expires', '90d'], world.environment());
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const key = made.stdout.split('\n')[0]!;
    expect((await api('POST', '/access/keys', { name: 'next', scopes: ['read'] }, key)).status).toBe(201);
    const rotated = (await access('rotate', idOf(key), '--overlap', '1d')).stdout.split('\n')[0]!;
    expect(await mayRead(rotated)).toBe(200);
    expect(await access('revoke', `ssk_${idOf(rotated)}`)).toMatchObject({ code: 0 });
    const { stdout } = await access('list');
    const views = (await access('list', '--json')).stdout.trim().split('\n');
    expect(views.map((view) => JSON.parse(view) as unknown)).toContainEqual(
      expect.objectContaining({ name: 'me', replaced_by: idOf(rotated) }),
    );
    expect(stdout).toMatch(new RegExp(`ssk_${idOf(key)}  me  read,admin  made .*  expires .*  replaced by ssk_${idOf(rotated)}`));
    expect(stdout).toMatch(new RegExp(`ssk_${idOf(rotated)}  me .*REVOKED`));
    expect(stdout).not.toContain(key.slice(21));
  });

  test('says that there are more keys than it lists', async () => {
    await world.db1.query(
      `INSERT INTO subscription_sync.api_keys (id, name, hash, scopes, created_by, created_at)
       SELECT lpad(to_hex(n), 16, '0'), 'many', '', '{read}', 'test', now() - interval '1 day' FROM generate_series(1, 1001) n`,
    );
    const lines = (await access('list')).stdout.trim().split('\n');
    expect(lines).toHaveLength(1_001);
    expect(lines.at(-1)).toBe('Older keys are not listed: GET /access/keys lists all of them.');
    await world.db1.query(`DELETE FROM subscription_sync.api_keys WHERE name = 'many'`);
    expect((await access('list')).stdout).not.toContain('Older keys');
  });

  test('exits with code 1 when it is refused, with 2 when the command line is wrong, and prints the error', async () => {
    const wrong = [
      [
        2,
        ['create', '--name', 'x', '--scopes', 'all'],
        '--scopes must list some of read,write,delete,export,operate,erase,admin, but has "all"',
      ],
      [2, ['create', '--name', 'x', '--scopes', 'read', '--expires', 'soon'], '--expires must be a time such as 12h or 90d'],
      [1, ['rotate', '0123456789abcdef'], 'No key 0123456789abcdef is in use'],
      [2, ['revoke'], 'Name the key by its id'],
      [2, ['list', '--all'], "unknown option '--all'"],
      [2, ['list', 'all'], "too many arguments for 'list'"],
      [2, ['make'], 'there is no command "make"'],
      [2, [], 'a command is missing'],
    ] as const;
    for (const [expected, args, why] of wrong) {
      const { code, stderr } = await access(...args);
      expect([code, stderr]).toEqual([expected, expect.stringContaining(why)]);
    }
    const { code, stdout, stderr } = await runCli(['keys', 'revoke', '0123456789abcdef'], world.environment());
    expect([code, stdout, stderr]).toEqual([1, '', 'There is no key 0123456789abcdef\n']);
  });
});

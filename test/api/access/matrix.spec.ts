import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Scope, SCOPES } from '#http';
import { bearer, keysIn, makeKey, TESTER } from '../../harness/credentials.js';
import { World } from '../../harness/world.js';

interface Operation {
  readonly security?: object[];
  readonly 'x-required-scope'?: string;
}
interface Route {
  readonly method: string;
  readonly path: string;
  readonly documented: Operation;
}

/** Paths that anyone may read. */
const PUBLIC = /^\/(?:problems|health|metrics)(?:\/|$)/;
const METHODS = new Set(['get', 'head', 'post', 'put', 'patch', 'delete']);

let world: World;
let routes: Route[];
const keys = {} as Record<Scope, string>;
let refused: Record<string, string | undefined>;

beforeAll(async () => {
  world = await World.started({ env: { ACCESS: 'required', AUTH_FAILURES_PER_ADDRESS: '0' } });
  const { paths } = (await (await fetch(`${world.url}/docs-json`)).json()) as { paths: Record<string, Record<string, Operation>> };
  routes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations)
      .filter(([method]) => METHODS.has(method))
      .flatMap(([method, documented]) =>
        (method === 'get' && !operations['head'] ? ['GET', 'HEAD'] : [method.toUpperCase()]).map((name) => ({
          method: name,
          path,
          documented,
        })),
      ),
  );
  // The document describes the alias in one sentence.
  routes.push(
    ...routes
      .filter(({ path }) => path.startsWith('/subscriptions'))
      .map((route) => ({ ...route, path: route.path.replace('/subscriptions', '/subscription_status') })),
  );
  for (const scope of SCOPES) keys[scope] = await makeKey(world.db1, scope);
  const store = keysIn(world.db1);
  const [expired, revoked] = [await makeKey(world.db1, ...SCOPES), await makeKey(world.db1, ...SCOPES)];
  await world.db1.query(`UPDATE subscription_sync.api_keys SET expires_at = now() - interval '1 s' WHERE id = $1`, [idOf(expired)]);
  await store.revoke(idOf(revoked), TESTER);
  refused = {
    nothing: undefined,
    'an empty credential': 'Bearer ',
    'a credential in an unknown format': 'Bearer hello',
    'another scheme': `Basic ${Buffer.from(`user:${keys.admin}`).toString('base64')}`,
    'a key that never existed': `Bearer ssk_0123456789abcdef_${'A'.repeat(43)}`,
    'a key with another secret': `Bearer ssk_${idOf(keys.admin)}_${'A'.repeat(43)}`,
    'a key with an extra letter': `Bearer ${keys.admin}A`,
    'a key that is cut off': `Bearer ${keys.admin.slice(0, -1)}`,
    'the prefix alone': `Bearer ssk_${idOf(keys.admin)}`,
    'an expired key': `Bearer ${expired}`,
    'a revoked key': `Bearer ${revoked}`,
  };
});
afterAll(() => world.close());

/** Security schemes of an operation; any one of them is enough. */
function schemesOf({ security = [] }: Operation): string[] {
  return security.flatMap((scheme) => Object.keys(scheme)).sort();
}

function idOf(key: string): string {
  return key.split('_')[1]!;
}

/** Returns the scope that a route's path and method imply, independent of the code's declaration. */
function scopeOf({ method, path }: Route): Scope {
  const reads = method === 'GET' || method === 'HEAD';
  if (path.startsWith('/access/')) return 'admin';
  if (path.startsWith('/erasures')) return 'erase';
  if (/^\/(?:dead-letters|reconciliation)/.test(path)) return 'operate';
  if (path.startsWith('/imports/')) return 'write';
  // Only a caller that knows an email reads with the scope read.
  if (reads) return path.includes('{email}') ? 'read' : 'export';
  return method === 'DELETE' ? 'delete' : 'write';
}

/** Returns a response's status, headers and text; a body may never end. */
async function send({ method, path }: Route, headers: Record<string, string>): Promise<{ status: number; headers: Headers; text: string }> {
  const url =
    world.url +
    path.replaceAll(/\{(\w+)\}/g, (_, name) => (name === 'email' ? 'nobody@example.com' : name === 'id' ? '0000000000000001' : 'x'));
  const body = ['POST', 'PUT', 'PATCH'].includes(method) ? '{}' : null;
  const stop = new AbortController();
  const response = await fetch(url, {
    method,
    body,
    headers: { ...headers, ...(body === null ? {} : { 'content-type': 'application/json' }) },
    signal: stop.signal,
  });
  const text = response.status >= 400 ? await response.text() : '';
  stop.abort();
  return { status: response.status, headers: response.headers, text };
}

test('every documented route is public or requires the scope that fits it, and documents that', () => {
  const protectedRoutes = routes.filter(({ path }) => !PUBLIC.test(path));
  expect(protectedRoutes.length).toBeGreaterThan(20);
  expect(
    protectedRoutes.map(({ method, path, documented }) => [method, path, documented['x-required-scope'], schemesOf(documented)]),
  ).toEqual(protectedRoutes.map((route) => [route.method, route.path, scopeOf(route), ['api_key', 'oidc_token']]));
});

test('no route accepts a request without a valid credential', async () => {
  const wrong: unknown[] = [];
  for (const route of routes.filter(({ path }) => !PUBLIC.test(path))) {
    for (const [what, authorization] of Object.entries(refused)) {
      const { status, headers, text } = await send(route, authorization === undefined ? {} : { authorization });
      const challenge = headers.get('www-authenticate') ?? '';
      const right =
        status === 401 &&
        challenge.startsWith('Bearer realm=') &&
        challenge.includes('invalid_token') === (authorization !== undefined) &&
        (route.method === 'HEAD' || headers.get('content-type')!.startsWith('application/problem+json')) &&
        !text.includes(keys.admin.slice(21));
      if (!right) wrong.push([route.method, route.path, what, status, challenge, text]);
    }
  }
  expect(wrong).toEqual([]);
});

test('a scope opens its own routes and no others; 403 names the missing scope', async () => {
  const wrong: unknown[] = [];
  for (const route of routes.filter(({ path }) => !PUBLIC.test(path))) {
    for (const scope of SCOPES) {
      const { status, headers, text } = await send(route, bearer(keys[scope]));
      const needed = scopeOf(route);
      const right =
        scope === needed
          ? ![401, 403, 429].includes(status) && status < 500
          : status === 403 && headers.get('www-authenticate')!.includes(`error="insufficient_scope", scope="${needed}"`);
      if (!right) wrong.push([route.method, route.path, scope, status, text]);
    }
  }
  expect(wrong).toEqual([]);
});

test('no cache may store an answer of a route that needs a credential, whatever the answer is', async () => {
  const storable: unknown[] = [];
  const allowed = new Set<number>();
  for (const route of routes.filter(({ path }) => !PUBLIC.test(path))) {
    for (const headers of [{}, bearer('nonsense'), bearer(keys[scopeOf(route)])]) {
      const { status, headers: answered } = await send(route, headers);
      allowed.add(status);
      if (!answered.get('cache-control')?.startsWith('no-store')) storable.push([route.method, route.path, status]);
    }
  }
  expect(storable).toEqual([]);
  expect([...allowed]).toEqual(expect.arrayContaining([200, 400, 401, 404]));
});

test.each(['/health/live', '/health/ready', '/metrics', '/docs', '/docs/', '/docs/swagger-ui-bundle.js', '/docs-json', '/docs-yaml'])(
  '%s needs no credential, and ignores an invalid one',
  async (path) => {
    expect((await fetch(world.url + path)).status).toBe(200);
    expect((await fetch(world.url + path, { headers: bearer('nonsense') })).status).toBe(200);
  },
);

test('a path that does not exist is 404 with and without a credential', async () => {
  expect((await fetch(`${world.url}/nothing/here`)).status).toBe(404);
});

test('a request without a credential is refused before its body is read', async () => {
  const body = 'x'.repeat(1_000_000);
  const response = await fetch(`${world.url}/subscriptions`, { method: 'POST', body, headers: { 'content-type': 'text/csv' } });
  expect(response.status).toBe(401);
});

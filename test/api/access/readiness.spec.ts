import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Scope, SCOPES } from '#http';
import { bearer, makeKey } from '../../harness/credentials.js';
import { eventually, readinessOf } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

/** A server whose Database 2 is away: its error names a host and a port. */
const BROKEN = { DB2_HOST: '127.0.0.1', DB2_PORT: '1' };

let home: World;

beforeAll(async () => {
  home = await World.shared();
});
afterAll(() => home.close());

async function withServer(env: Record<string, string>, work: (url: string) => Promise<void>): Promise<void> {
  const world = home.beside({ servers: [['api']], env: { ...BROKEN, ...env } });
  await world.start();
  try {
    await eventually(async () => (await readinessOf(world.url)).status === 'degraded');
    await work(world.url);
  } finally {
    await world.stop();
  }
}

const WHOLE = { code: 200, status: 'degraded', checks: { db1: { status: 'up' }, db2: { status: 'down', error: expect.any(String) } } };
const NAMES = { code: 200, status: 'degraded', checks: { db2: { status: 'down' } } };

test('readiness names the parts that fail, and says why only to a valid credential', async () => {
  await withServer({ ACCESS: 'required' }, async (url) => {
    expect(await readinessOf(url)).toEqual(NAMES);
    expect(await readinessOf(url, bearer('nonsense'))).toEqual(NAMES);
    expect(await readinessOf(url, bearer(`ssk_0123456789abcdef_${'A'.repeat(43)}`))).toEqual(NAMES);
    for (const scope of SCOPES) expect(await readinessOf(url, bearer(await makeKey(home.db1, scope satisfies Scope)))).toMatchObject(WHOLE);
  });
});

test('readiness shows everything while access is open', async () => {
  await withServer({ ACCESS: 'open' }, async (url) => expect(await readinessOf(url)).toMatchObject(WHOLE));
});

test('keys cannot be guessed at the readiness: each attempt counts as a failed authentication', async () => {
  await withServer({ ACCESS: 'required', AUTH_FAILURES_PER_ADDRESS: '3' }, async (url) => {
    const key = bearer(await makeKey(home.db1, 'read'));
    for (let i = 0; i < 10; i += 1) expect(await readinessOf(url)).toEqual(NAMES);
    const guess = bearer(`ssk_0123456789abcdef_${'A'.repeat(43)}`);
    for (let i = 0; i < 3; i += 1) expect(await readinessOf(url, guess)).toEqual(NAMES);
    // The address has used up its attempts: a key that is not cached is not looked up, and the probe still gets its answer.
    expect(await readinessOf(url, key)).toEqual(NAMES);
    expect((await fetch(`${url}/access/keys`, { headers: guess })).status).toBe(429);
  });
});

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readSettings } from '#config';
import { startServer, type RunningServer } from '../../apps/server/src/index.js';
import { expectEqualDatabases } from '../harness/compare.js';
import { eventually } from '../harness/eventually.js';
import { readinessOf } from '../harness/readiness.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';

/** From the moment on that nothing gets through any more. */
const NOTICED_MS = 15_000;

let world: World;
let proxy: TcpProxy;
let servers: RunningServer[];

beforeEach(async () => {
  world = await World.create();
  proxy = await TcpProxy.to(world.addresses.db1);
  servers = [];
});
afterEach(async () => {
  await proxy.set({ kind: 'pass' });
  await Promise.all(servers.map((server) => server.stop()));
  await proxy.close();
  await world.close();
});

/** A server that reaches DB1 through the proxy, or directly. */
async function start(roles: string, capture: string, port = String(world.addresses.db1.port)): Promise<string> {
  const server = await startServer(readSettings({ ...world.environment(), ROLES: roles, CAPTURE: capture, DB1_PORT: port }));
  servers.push(server);
  return server.url;
}

async function stateOf(url: string): Promise<string> {
  const sync = (await readinessOf(url)).checks['sync']!;
  return sync.state ?? sync.error!;
}

async function arrives(email: string, withinMs: number): Promise<void> {
  await world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions WHERE email = $1', [email])).rowCount === 1, withinMs);
}

test.each(['wal', 'poll'])(
  'a capture that is cut off from DB1 without a word (%s) gives up, and the standby takes over',
  async (capture) => {
    await start('replica', capture);
    const first = await start('sync', capture, String(proxy.port));
    await eventually(async () => (await stateOf(first)) === 'running');
    const second = await start('sync', capture);
    await eventually(async () => (await stateOf(second)) === 'standby');
    await arrives('a@example.com', 20_000);
    await proxy.set({ kind: 'black-hole' });
    await arrives('b@example.com', NOTICED_MS);
    expect(await stateOf(second)).toBe('running');
    await eventually(async () => /^waiting for DB1: /.test(await stateOf(first)), NOTICED_MS);
    await proxy.set({ kind: 'pass' });
    await eventually(async () => (await stateOf(first)) === 'standby', 20_000);
    await expectEqualDatabases(world);
  },
  90_000,
);

test('a standby that is cut off notices, and stands by again when it can', async () => {
  const first = await start('sync', 'auto');
  await eventually(async () => (await stateOf(first)) === 'running');
  const second = await start('sync', 'auto', String(proxy.port));
  await eventually(async () => (await stateOf(second)) === 'standby');
  await proxy.set({ kind: 'black-hole', forgets: true });
  await eventually(async () => /^waiting for DB1: /.test(await stateOf(second)), NOTICED_MS);
  await proxy.set({ kind: 'pass' });
  await eventually(async () => (await stateOf(second)) === 'standby');
  expect(await stateOf(first)).toBe('running');
}, 90_000);

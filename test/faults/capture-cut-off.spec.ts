import { expect, test } from '@jest/globals';
import { readSettings } from '#config';
import { type RunningServer, startServer } from '../../apps/server/src/bootstrap.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { SHORT_SESSIONS } from '../harness/timings.js';
import { World } from '../harness/world.js';

/** Time limit (ms) for the takeover, counted from the moment when traffic is cut off. */
const NOTICED_MS = 10_000;

/** A world and a proxy to its DB1 that can be cut off. */
class CutOff {
  private readonly servers: RunningServer[] = [];

  private constructor(
    readonly world: World,
    readonly proxy: TcpProxy,
  ) {}

  /** Closes the world whether `work` succeeds or fails. */
  static async use(work: (cutOff: CutOff) => Promise<void>): Promise<void> {
    const world = await World.create({ timings: SHORT_SESSIONS });
    const cutOff = new CutOff(world, await TcpProxy.to(world.addresses.db1));
    await work(cutOff).finally(() => cutOff.close());
  }

  /** A server that reaches DB1 through the proxy, or directly. */
  async start(roles: string, capture: string, way: 'proxy' | 'direct' = 'direct'): Promise<string> {
    const port = way === 'proxy' ? this.proxy.port : this.world.addresses.db1.port;
    const settings = readSettings({ ...this.world.environment(), ROLES: roles, CAPTURE: capture, DB1_PORT: String(port) });
    const server = await startServer(settings, this.world.timings);
    this.servers.push(server);
    return server.url;
  }

  async arrives(email: string, withinMs: number): Promise<void> {
    const { db1, db2 } = this.world;
    await db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
    await eventually(async () => (await db2.query('SELECT FROM subscriptions WHERE email = $1', [email])).rowCount === 1, withinMs);
  }

  private async close(): Promise<void> {
    await this.proxy.set({ kind: 'pass' });
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.proxy.close();
    await this.world.close();
  }
}

async function stateOf(url: string): Promise<string> {
  const sync = (await readinessOf(url)).checks['sync']!;
  return sync.state ?? sync.error!;
}

// The tests mostly wait, so they run concurrently.
test.concurrent.each(['wal', 'poll'])('a capture that is silently cut off from DB1 (%s) gives up, and the standby takes over', (capture) =>
  CutOff.use(async (cutOff) => {
    await cutOff.start('replica', capture);
    const first = await cutOff.start('sync', capture, 'proxy');
    await eventually(async () => (await stateOf(first)) === 'running');
    const second = await cutOff.start('sync', capture);
    await eventually(async () => (await stateOf(second)) === 'standby');
    await cutOff.arrives('a@example.com', 20_000);
    await cutOff.proxy.set({ kind: 'black-hole' });
    await cutOff.arrives('b@example.com', NOTICED_MS);
    expect(await stateOf(second)).toBe('running');
    await eventually(async () => /^waiting for DB1: /.test(await stateOf(first)), NOTICED_MS);
    await cutOff.proxy.set({ kind: 'pass' });
    await eventually(async () => (await stateOf(first)) === 'standby', 20_000);
    await expectEqualDatabases(cutOff.world);
  }),
);

test.concurrent('a standby that is cut off notices it, and stands by again once DB1 is reachable', () =>
  CutOff.use(async (cutOff) => {
    const first = await cutOff.start('sync', 'auto');
    await eventually(async () => (await stateOf(first)) === 'running');
    const second = await cutOff.start('sync', 'auto', 'proxy');
    await eventually(async () => (await stateOf(second)) === 'standby');
    await cutOff.proxy.set({ kind: 'black-hole', forgets: true });
    await eventually(async () => /^waiting for DB1: /.test(await stateOf(second)), NOTICED_MS);
    await cutOff.proxy.set({ kind: 'pass' });
    await eventually(async () => (await stateOf(second)) === 'standby');
    expect(await stateOf(first)).toBe('running');
  }),
);

import { afterEach, expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';

let world: World;
let proxy: TcpProxy;

afterEach(async () => {
  await world.close();
  await proxy.close();
});

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${world.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

test.each(['wal', 'poll'] as const)(
  'changes that were read but are not on Kafka when the process stops are published by the next one (%s)',
  async (capture) => {
    proxy = await TcpProxy.to(placeOf('kafka'), { kind: 'refuse' });
    world = await World.create({ capture, env: { KAFKA_SERVER: `127.0.0.1:${proxy.port}` } });
    await world.start();
    await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 50) i`);
    await eventually(async () => (await metric('subscription_sync_captured_total')) > 0);
    expect(await metric('subscription_sync_published_total')).toBe(0);
    await world.stop();
    await proxy.set({ kind: 'pass' });
    await world.start();
    await world.ready();
    await expectEqualDatabases(world);
  },
);

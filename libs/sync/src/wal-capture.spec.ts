import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '../../../test/harness/eventually.js';
import { TcpProxy } from '../../../test/harness/tcp-proxy.js';
import { World } from '../../../test/harness/world.js';
import { Lease } from './lease.js';
import { WalCapture } from './wal-capture.js';

let world: World;
let proxy: TcpProxy;
let lease: Lease;
let capture: WalCapture;
let stop: AbortController;

beforeEach(async () => {
  stop = new AbortController();
  world = await World.create();
  proxy = await TcpProxy.to(world.addresses.db1);
  const settings = { ...world.addresses.db1, database: world.name, poolSize: 1 };
  lease = new Lease(settings);
  await lease.acquire(stop.signal, () => undefined);
  // Only the stream goes through the proxy.
  capture = new WalCapture(lease.client, { ...settings, port: proxy.port }, world.name);
  await capture.prepare(() => undefined);
});
afterEach(async () => {
  stop.abort();
  await capture.close();
  await lease.release();
  await proxy.close();
  await world.close();
});

/** Reads on, publishing at once, until `count` changes have come or it fails. */
async function read(count: number): Promise<string[]> {
  const emails: string[] = [];
  for await (const changes of capture.batches(stop.signal)) {
    emails.push(...changes.map(({ email }) => email));
    await capture.published(changes.length);
    if (emails.length >= count) break;
  }
  return emails;
}

async function isRead(): Promise<boolean> {
  const { rowCount } = await world.db1.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active', [world.name]);
  return rowCount === 1;
}

test('a stream that is cut off without a word ends, though DB1 answers on its other connection', async () => {
  const reading = read(Infinity);
  await eventually(isRead);
  await proxy.set({ kind: 'black-hole', forgets: true });
  const started = performance.now();
  await expect(reading).rejects.toThrow(/^The replication stream was cut off: nothing came for/);
  expect(performance.now() - started).toBeLessThan(20_000);
}, 60_000);

test('an idle stream goes on for longer than the bound of silence', async () => {
  const reading = read(1);
  await eventually(isRead);
  const { rows } = await world.db1.query<{ pid: number }>('SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1', [
    world.name,
  ]);
  await world.db1.query('SELECT pg_sleep(12)');
  const { rows: after } = await world.db1.query<{ pid: number }>(
    'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1',
    [world.name],
  );
  expect(after).toEqual(rows);
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('late@example.com')`);
  expect(await reading).toEqual(['late@example.com']);
}, 60_000);

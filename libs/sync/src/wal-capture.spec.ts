import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { BEYOND_CHECKPOINT } from '#databases';
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

/** The stream as the server sees it, and how long it has been answering. */
async function reader(): Promise<{ pid?: number; seconds: number }> {
  const { rows } = await world.db1.query<{ pid: number; seconds: number }>(
    `SELECT pid, extract(epoch FROM reply_time - backend_start)::float8 AS seconds
     FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $1`,
    [world.name],
  );
  return rows[0] ?? { seconds: 0 };
}

test('a stream that is cut off without a word ends, though DB1 answers on its other connection', async () => {
  const reading = read(Infinity);
  await eventually(async () => (await reader()).pid);
  await proxy.set({ kind: 'black-hole', forgets: true });
  const started = performance.now();
  await expect(reading).rejects.toThrow(/^The replication stream was cut off: nothing came for/);
  expect(performance.now() - started).toBeLessThan(20_000);
}, 60_000);

test('an idle stream goes on for longer than the bound of silence', async () => {
  const reading = read(1);
  const { pid } = await eventually(async () => (await reader()).pid !== undefined && (await reader()));
  await eventually(async () => (await reader()).seconds > 12, 30_000);
  expect((await reader()).pid).toBe(pid);
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('late@example.com')`);
  expect(await reading).toEqual(['late@example.com']);
}, 60_000);

test('a change after which nothing comes is soon known to be published: a comparison waits for that', async () => {
  const reading = read(Infinity);
  await eventually(async () => (await reader()).pid);
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('alone@example.com')`);
  await eventually(async () => (await world.db1.query(`SELECT ${BEYOND_CHECKPOINT}`)).rowCount === 0, 6_000);
  stop.abort();
  expect(await reading).toEqual(['alone@example.com']);
}, 60_000);

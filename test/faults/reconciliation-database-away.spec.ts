import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';
import { call } from '../pipeline/reconciliation/runs.js';

let world: World;
let proxy: TcpProxy;

beforeEach(async () => {
  proxy = await TcpProxy.to(placeOf('db2'));
  world = await World.started({
    env: { DB2_HOST: '127.0.0.1', DB2_PORT: String(proxy.port) },
    servers: [['api', 'sync', 'replica'], ['sync']],
  });
});
afterEach(async () => {
  await proxy.set({ kind: 'pass' });
  await world.close();
  await proxy.close();
});

test('a run that two processes may work on completes after an outage of Database 2, and repairs each row once', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'row' || i || '@example.com' FROM generate_series(1, 500) i`);
  await expectEqualDatabases(world);
  await world.db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE email LIKE 'row1%'`);
  const drifted = (await world.db2.query(`SELECT FROM subscriptions WHERE status = 'drifted'`)).rowCount!;
  const lock = await world.db1.connect();
  await lock.query('BEGIN; LOCK TABLE subscription_sync.reconciliation_differences IN ACCESS EXCLUSIVE MODE');
  await call(world, 'POST', 'runs', {});
  await eventually(async () => {
    const { rows } = await world.db1.query<{ n: number }>('SELECT in_flight::int AS n FROM subscription_sync.reconciliation_runs');
    return rows[0]?.n === drifted;
  }, 30_000);
  await proxy.set({ kind: 'refuse' });
  await lock.query('COMMIT');
  lock.release();
  await eventually(async () => (await readinessOf(world.url)).checks['db2']!.status === 'down', 30_000);
  await proxy.set({ kind: 'pass' });
  const run = await eventually(async () => {
    const { rows } = await world.db1.query<{ outcome: string | null; differing: number; repaired: number }>(
      'SELECT outcome, differing::int, repaired::int FROM subscription_sync.reconciliation_runs',
    );
    return rows[0]!.outcome === null ? undefined : rows[0];
  }, 60_000);
  expect(run).toEqual({ outcome: 'repaired', differing: drifted, repaired: drifted });
  const { rowCount } = await world.db1.query(`SELECT FROM subscription_sync.changes WHERE operation = 'resynced'`);
  expect(rowCount).toBe(drifted);
  await expectEqualDatabases(world);
});

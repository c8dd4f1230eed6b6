import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { World } from '../harness/world.js';
import { finished, requested } from '../pipeline/reconciliation/runs.js';

let parts: Parts;
let world: World;

beforeAll(async () => {
  parts = await Parts.start(['db1', 'db2']);
  world = await World.create({ parts: parts.addresses });
});
afterAll(async () => {
  await world.close();
  await parts.close();
});

/** Each test has a server of its own, whose metrics begin with 0, and an empty table. */
beforeEach(async () => {
  await world.db1.query('DELETE FROM subscriptions');
  await world.start();
  await world.ready();
});
afterEach(() => world.stop());

async function insert(name: string, rows: number): Promise<void> {
  await eventually(() =>
    world.db1
      .query(
        `INSERT INTO subscriptions (email, status) SELECT '${name}' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
      )
      .then(() => true),
  );
}

async function breaks(reason: string, url = world.url): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`chain_breaks_total{reason="${reason}"} (\\d+)`).exec(metrics)?.[1] ?? 0);
}

async function sequence(): Promise<number> {
  return Number((await world.db1.query<{ last: string }>('SELECT last_value AS last FROM subscription_sync.version')).rows[0]!.last);
}

test('a DB1 that was restored to an earlier state draws versions above those of DB2, and DB2 ends equal to DB1', async () => {
  await insert('kept', 50);
  await insert('changed', 50);
  await insert('deleted', 50);
  await expectEqualDatabases(world);
  await parts.backUp('db1');
  await insert('lost', 100);
  await world.db1.query(`UPDATE subscriptions SET status = 'paused' WHERE email LIKE 'changed%'`);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'deleted%'`);
  await insert('made-and-deleted', 1);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'made%'`);
  await expectEqualDatabases(world);
  const published = await sequence();
  await parts.restore('db1');
  // Another program writes before the service starts, and draws versions that DB2 has already seen.
  await insert('lost', 3);
  await insert('new', 20);
  await insert('made-and-deleted', 1);
  await eventually(async () => (await breaks('db1_lost_changes')) === 1, 30_000);
  await expectEqualDatabases(world, 60_000);
  expect(await sequence()).toBeGreaterThan(published);
  await world.db1.query(`UPDATE subscriptions SET plan = 'after'`);
  await expectEqualDatabases(world);
});

test.each([
  ['is noticed', false],
  ['is noticed although a run of that state is unfinished', true],
])('a restored DB1 that has drawn versions above those of DB2 before the service starts %s', async (_, isUnfinished) => {
  const capturedVersion = async (): Promise<number> =>
    Number((await world.db2.query<{ version: string }>('SELECT version FROM subscription_sync.captured')).rows[0]?.version);
  await insert('kept', 50);
  await expectEqualDatabases(world);
  const { id } = await finished(world, (await requested(world, {})).id);
  await parts.backUp('db1');
  await insert('lost', 30);
  await expectEqualDatabases(world);
  await world.stop();
  await parts.restore('db1');
  await insert('other', 60);
  const update = (set: string): Promise<unknown> =>
    world.db1.query(`UPDATE subscription_sync.reconciliation_runs SET ${set} WHERE id = ${id}`);
  const lost = await capturedVersion();
  if (isUnfinished) {
    await update(`outcome = NULL, finished_at = NULL, runner = gen_random_uuid(), lease_until = now() + interval '1 hour'`);
  }
  await world.start();
  if (isUnfinished) {
    // The capture has read changes of the restored state before the run ends.
    await eventually(async () => (await capturedVersion()) > lost);
    await update('lease_until = now()');
  }
  await eventually(async () => (await breaks('db1_lost_changes')) === 1, 30_000);
  await expectEqualDatabases(world, 60_000);
  expect(await breaks('foreign_records')).toBe(0);
});

test('a DB1 that was restored under the running service is noticed before a change of it is published', async () => {
  await world.stop();
  // After its first check, only a new capture session checks.
  const { reconciliation } = world.timings;
  const other = await world.startBeside({ timings: { reconciliation: { ...reconciliation, checkIntervalMs: 600_000 } } });
  try {
    await insert('kept', 50);
    await expectEqualDatabases(world);
    // A run of an earlier test would be unfinished in the restored state, and postpone another one to the next check.
    const unfinished = 'SELECT FROM subscription_sync.reconciliation_runs WHERE finished_at IS NULL';
    await eventually(async () => (await world.db1.query(unfinished)).rowCount === 0);
    await parts.backUp('db1');
    await insert('lost', 30);
    await expectEqualDatabases(world);
    await parts.restore('db1');
    await insert('other', 60);
    await eventually(async () => (await breaks('db1_lost_changes', other.url)) === 1, 30_000);
  } finally {
    await other.stop();
  }
});

test('a DB1 whose lost changes no process knows of heals row by row, and its sequence is not moved', async () => {
  await insert('kept', 50);
  await expectEqualDatabases(world);
  await parts.backUp('db1');
  await insert('lost', 100);
  await world.db1.query(`UPDATE subscriptions SET status = 'paused'`);
  await insert('made-and-deleted', 1);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'made%'`);
  await expectEqualDatabases(world);
  const published = await sequence();
  await world.stop();
  await world.db2.query('DELETE FROM subscription_sync.captured');
  await parts.restore('db1');
  await insert('lost', 3);
  await insert('made-and-deleted', 1);
  await world.start();
  await eventually(async () => (await breaks('foreign_records')) > 0, 30_000);
  await expectEqualDatabases(world, 60_000);
  expect(await sequence()).toBeLessThan(published + 1_000);
  await world.db1.query(`UPDATE subscriptions SET plan = 'after'`);
  await expectEqualDatabases(world);
});

test('a DB2 that was restored to an earlier state gets the rows that it lacks', async () => {
  await insert('before', 50);
  await expectEqualDatabases(world);
  await parts.backUp('db2');
  await insert('after', 50);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'before1%'`);
  await expectEqualDatabases(world);
  await parts.restore('db2');
  await insert('later', 20);
  await expectEqualDatabases(world, 60_000);
  await eventually(async () => (await breaks('db2_lost_changes')) === 1);
});

test('after the promotion of a standby without slot and last changes, DB2 ends equal to DB1', async () => {
  await insert('kept', 50);
  await expectEqualDatabases(world);
  await parts.addStandby();
  await insert('streamed', 50);
  await eventually(async () => (await world.db1.query(`SELECT FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()`)).rowCount);
  await parts.cutOffStandby();
  await insert('lost', 70);
  await expectEqualDatabases(world);
  await parts.failOver();
  await insert('new', 30);
  await eventually(async () => (await breaks('db1_lost_changes')) === 1, 30_000);
  await expectEqualDatabases(world, 60_000);
  const { rows } = await world.db2.query('SELECT email FROM subscriptions WHERE email LIKE $1', ['lost%']);
  expect(rows).toEqual([]);
});

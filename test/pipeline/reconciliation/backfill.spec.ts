import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { disorderIn, expectEqualDatabases, publishedRecords } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { keepWriting } from '../../harness/random-operations.js';
import { World } from '../../harness/world.js';
import { call, finished, onlyRows, type Run } from './runs.js';

/** Number of rows: several batches. */
const ROWS = 2_200;
const HALF = 'row1100@example.com';
let world: World;

beforeAll(async () => {
  world = await World.started();
});
beforeEach(() => onlyRows(world, ROWS));
afterEach(() => expectEqualDatabases(world));
afterAll(() => world.close());

/** Starts a backfill, as soon as no other run is unfinished. @returns the run once it has ended. */
async function resynced(task: object): Promise<Run> {
  const { run } = await eventually(async () => {
    const answer = await call(world, 'POST', 'resyncs', task);
    return answer.status === 202 ? answer : undefined;
  });
  return finished(world, run.id);
}

/** Makes Database 2 forget all rows and all that was applied. */
async function emptyDb2(): Promise<void> {
  await world.db2.query('TRUNCATE subscriptions, subscription_sync.applied');
}

async function sequence(): Promise<number> {
  return Number((await world.db1.query<{ last: string }>('SELECT last_value AS last FROM subscription_sync.version')).rows[0]!.last);
}

test('an empty Database 2 gets all rows with one version, which is all that is written to Database 1 and to the topic', async () => {
  const before = [await sequence(), await publishedRecords(world)];
  await emptyDb2();
  expect(await resynced({})).toMatchObject({
    kind: 'resync',
    outcome: 'resynced',
    compared: ROWS,
    differing: 0,
  });
  const label = await sequence();
  await eventually(async () => (await publishedRecords(world)) === before[1]! + 1);
  expect(label).toBe(before[0]! + 1);
  expect((await world.db2.query('SELECT DISTINCT version::int FROM subscription_sync.applied WHERE deleted_at IS NULL')).rows).toEqual([
    { version: label },
  ]);
});

test('a newer change and a deletion win over a concurrent backfill', async () => {
  await emptyDb2();
  const stop = keepWriting(world, 8);
  const run = await resynced({});
  await stop();
  expect(run.outcome).toBe('resynced');
  await expectEqualDatabases(world);
  expect(await disorderIn(world.db1)).toEqual([]);
});

test('rows that only Database 2 has are removed, and rows that another program changed there are overwritten', async () => {
  await world.db2.query(`
    DELETE FROM subscriptions WHERE email < 'row1000';
    DELETE FROM subscription_sync.applied WHERE email < 'row1000';
    UPDATE subscriptions SET status = 'drifted' WHERE email = 'row2000@example.com';
    INSERT INTO subscriptions (email, status) VALUES ('aaa@example.com', 'ghost'), ('zzz@example.com', 'ghost')`);
  const run = await resynced({ rate: 100_000 });
  expect(run).toMatchObject({ outcome: 'resynced', compared: ROWS, differing: 2, repaired: 2 });
  expect((await world.db2.query(`SELECT FROM subscriptions WHERE status = 'drifted'`)).rowCount).toBe(0);
});

test('a backfill of a range copies no row outside of it', async () => {
  await emptyDb2();
  expect(await resynced({ after_email: HALF })).toMatchObject({ compared: ROWS / 2, outcome: 'resynced' });
  const { rows } = await world.db2.query('SELECT count(*)::int, min(email) FROM subscriptions');
  expect(rows).toEqual([{ count: ROWS / 2, min: 'row1101@example.com' }]);
  await resynced({ until_email: HALF });
});

test('a row that Database 2 refuses becomes a dead letter and delays no other row', async () => {
  await emptyDb2();
  await world.db2.query(`ALTER TABLE subscriptions ADD CONSTRAINT refusing CHECK (email <> 'row0010@example.com')`);
  expect(await resynced({ until_email: HALF })).toMatchObject({ outcome: 'differs', differing: 1 });
  expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe(ROWS / 2 - 1);
  await world.db2.query('ALTER TABLE subscriptions DROP CONSTRAINT refusing');
  expect(await resynced({})).toMatchObject({ outcome: 'resynced' });
});

test('a backfill that was paused resumes at its position', async () => {
  await emptyDb2();
  const { id } = (await call(world, 'POST', 'resyncs', { rate: 500 })).run;
  await eventually(async () => (await call(world, 'GET', `runs/${id}`)).run.compared > 0);
  await call(world, 'POST', `runs/${id}/pause`);
  const { position, outcome } = await eventually(async () => {
    const { rows } = await world.db1.query<Run>(
      'SELECT position, outcome FROM subscription_sync.reconciliation_runs WHERE id = $1 AND runner IS NULL',
      [id],
    );
    return rows[0];
  });
  expect(outcome).toBeNull();
  expect(position < `row${ROWS}@example.com`).toBe(true);
  await emptyDb2();
  await call(world, 'POST', `runs/${id}/resume`);
  // A row that was copied before the pause and has disappeared since is found by the comparison.
  const { rows } = await world.db1.query('SELECT FROM subscriptions WHERE email <= $1', [position]);
  expect(await finished(world, id)).toMatchObject({ outcome: 'resynced', compared: ROWS, differing: rows.length });
});

test('with publish, each row is on the topic again with one version', async () => {
  const before = [await sequence(), await publishedRecords(world)];
  await emptyDb2();
  const run = await resynced({ publish: true });
  expect(run).toMatchObject({ kind: 'republish', outcome: 'resynced', compared: ROWS, differing: 0 });
  expect([await sequence(), await publishedRecords(world)]).toEqual([before[0]! + 1, before[1]! + ROWS + 1]);
});

test('a backfill waits for the transactions that were writing when its version was drawn', async () => {
  await emptyDb2();
  const client = await world.db1.connect();
  await client.query(`BEGIN; UPDATE subscriptions SET status = 'paused' WHERE email = 'row0001@example.com'`);
  const { id } = (await call(world, 'POST', 'resyncs', {})).run;
  const labelled = 'SELECT FROM subscription_sync.reconciliation_runs WHERE id = $1 AND label IS NOT NULL';
  await eventually(async () => (await world.db1.query(labelled, [id])).rowCount === 1);
  expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe(0);
  await client.query('COMMIT');
  client.release();
  expect(await finished(world, id)).toMatchObject({ outcome: 'resynced', differing: 0 });
  const { rows } = await world.db2.query(`SELECT status FROM subscriptions WHERE email = 'row0001@example.com'`);
  expect(rows).toEqual([{ status: 'paused' }]);
});

test('rows of a megabyte are brought in small chunks, with and without publish', async () => {
  await world.db1.query(`UPDATE subscriptions SET metadata = jsonb_build_object('text', repeat('x', 1000000)) WHERE email < 'row0010'`);
  for (const publish of [false, true]) {
    await expectEqualDatabases(world);
    await emptyDb2();
    expect(await resynced({ publish })).toMatchObject({ outcome: 'resynced', compared: ROWS, differing: 0 });
  }
});

test('a new Database 2 is filled without a request', async () => {
  await world.db2.query('TRUNCATE subscriptions, subscription_sync.applied, subscription_sync.positions');
  const run = await eventually(async () => {
    const { rows } = await world.db1.query<Run>(
      `SELECT kind, outcome, compared::int FROM subscription_sync.reconciliation_runs WHERE reason = 'db2_lost_changes'`,
    );
    return rows[0]?.outcome === 'resynced' && rows[0];
  }, 60_000);
  expect(run).toMatchObject({ kind: 'resync', compared: ROWS });
});

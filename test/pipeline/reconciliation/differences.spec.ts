import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { pastTriggers } from '../../harness/past-triggers.js';
import { World } from '../../harness/world.js';
import { call, finished, type Run } from './runs.js';

let world: World;

async function startWith(env: Readonly<Record<string, string>>): Promise<void> {
  world = await World.started({ env });
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'row' || i || '@example.com', 'active' FROM generate_series(1, 40) i`,
  );
  await expectEqualDatabases(world);
}

async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${world.url}/reconciliation/${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

async function outcome(expected: string): Promise<void> {
  await eventually(async () => (await get<{ data: Run[] }>('runs')).data.some((run) => run.outcome === expected), 60_000);
}

async function found(query = ''): Promise<Record<string, string>> {
  const { data } = await get<{ data: { email: string; cause: string; state: string }[] }>(`differences${query}`);
  return Object.fromEntries(data.map(({ email, cause, state }) => [email, `${cause} ${state}`]));
}

async function metric(name: string): Promise<number> {
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  return Number(
    metrics
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1),
  );
}

/** Returns how many logged changes of DB1 are not creations. */
async function laterChanges(): Promise<number | null> {
  return (await world.db1.query(`SELECT FROM subscription_sync.changes WHERE operation <> 'created'`)).rowCount;
}

const DRIFT = `
  DELETE FROM subscriptions WHERE email IN ('row1@example.com', 'row2@example.com');
  UPDATE subscription_sync.applied SET deleted_at = now() WHERE email = 'row2@example.com';
  UPDATE subscription_sync.applied SET version = version - 1 WHERE email = 'row3@example.com';
  UPDATE subscription_sync.applied SET version = version + 1000 WHERE email = 'row4@example.com';
  UPDATE subscriptions SET status = 'drifted' WHERE email IN ('row3@example.com', 'row4@example.com');
  UPDATE subscriptions SET metadata = '{"a": 1}' WHERE email = 'row5@example.com';
  UPDATE subscriptions SET created_at = created_at + interval '1 microsecond' WHERE email = 'row6@example.com';
  INSERT INTO subscriptions (email, status) VALUES ('ghost@example.com', 'active')`;

const HOLES = pastTriggers(`
  UPDATE subscriptions SET status = 'unlogged' WHERE email = 'row7@example.com';
  DELETE FROM subscriptions WHERE email = 'row8@example.com';
  INSERT INTO subscriptions (email, status) VALUES ('smuggled@example.com', 'active')`);

const CAUSES = {
  'row1@example.com': 'missing',
  'row2@example.com': 'missing',
  'row3@example.com': 'stale',
  'row4@example.com': 'foreign',
  'row5@example.com': 'content',
  'row6@example.com': 'content',
  'ghost@example.com': 'extra',
  'row7@example.com': 'capture_hole',
  'row8@example.com': 'capture_hole',
  'smuggled@example.com': 'capture_hole',
};
const each = (state: string): Record<string, string> =>
  Object.fromEntries(Object.entries(CAUSES).map(([email, cause]) => [email, `${cause} ${state}`]));

describe('a requested run', () => {
  beforeAll(() => startWith({}));
  afterAll(() => world.close());

  test('finds each difference with its cause, and repairs it unless repair is false', async () => {
    await world.db2.query(DRIFT);
    await world.db1.query(HOLES);
    const dry = await call(world, 'POST', 'runs', { repair: false });
    expect(dry.status).toBe(202);
    expect(await finished(world, dry.run.id)).toMatchObject({ reason: 'requested', outcome: 'differs', differing: 10, repaired: 0 });
    expect(await found()).toEqual(each('confirmed'));
    expect(await laterChanges()).toBe(0);

    const { run } = await call(world, 'POST', 'runs', {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired', differing: 10, repaired: 10 });
    expect(await found(`?run=${run.id}`)).toEqual(each('repaired'));
    expect(await found(`?run=${run.id}&cause=extra`)).toEqual({ 'ghost@example.com': 'extra repaired' });
    await expectEqualDatabases(world);
    expect(await metric('subscription_sync_differences_total{cause="content"}')).toBe(4);

    const again = await call(world, 'POST', 'runs', {});
    expect(await finished(world, again.run.id)).toMatchObject({ outcome: 'equal', differing: 0 });
  }, 120_000);

  test('reports a row that DB2 refuses, and tries it no more than twice', async () => {
    await world.db2.query(`DELETE FROM subscriptions WHERE email = 'row1@example.com';
      ALTER TABLE subscriptions ADD CONSTRAINT not_row1 CHECK (email <> 'row1@example.com')`);
    const { run } = await call(world, 'POST', 'runs', {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'differs', differing: 1, repaired: 0 });
    expect((await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount).toBe(2);
    await world.db2.query('ALTER TABLE subscriptions DROP CONSTRAINT not_row1');
  }, 120_000);

  test('is refused while another run is unfinished, and when its input is invalid', async () => {
    const lock = await world.db1.connect();
    await lock.query('BEGIN; LOCK TABLE subscription_sync.reconciliation_differences IN ACCESS EXCLUSIVE MODE');
    await world.db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE email = 'row9@example.com'`);
    const { status, run } = await call(world, 'POST', 'runs', {});
    expect(status).toBe(202);
    expect((await call(world, 'POST', 'runs', {})).status).toBe(409);
    await lock.query('COMMIT');
    lock.release();
    for (const body of [{ repair: 'yes' }, { repair: null }, { colour: 'red' }])
      expect((await call(world, 'POST', 'runs', body)).status).toBe(400);
    for (const [path, status] of [
      ['runs/0', 404],
      ['runs/x', 400],
      ['runs?limit=0', 400],
      ['differences?cause=magic', 400],
      ['differences?run=x', 400],
    ] as const) {
      const response = await fetch(`${world.url}/reconciliation/${path}`);
      expect([path, response.status]).toEqual([path, status]);
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    }
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired' });
    await expectEqualDatabases(world);
  }, 120_000);
});

// The first two repair nothing, so the differences of one world are enough for all.
describe('a scheduled run', () => {
  let home: World;

  beforeAll(async () => {
    await startWith({});
    home = world;
    await home.stop();
    await home.db2.query(DRIFT);
  });
  afterEach(() => world.stop());
  afterAll(() => home.close());

  async function restartWith(env: Readonly<Record<string, string>>): Promise<void> {
    world = await home.startBeside({ env: { RECONCILE_INTERVAL: '1', ...env } });
  }

  test('with RECONCILE_REPAIR=off, only reports differences', async () => {
    await restartWith({ RECONCILE_REPAIR: 'off' });
    await outcome('differs');
    expect(await laterChanges()).toBe(0);
  }, 120_000);

  test('repairs nothing when more rows than RECONCILE_REPAIR_AT_MOST differ', async () => {
    await restartWith({ RECONCILE_REPAIR_AT_MOST: '3' });
    await outcome('too_many');
    expect(await laterChanges()).toBe(0);
  }, 120_000);

  test('starts every RECONCILE_INTERVAL and repairs differences', async () => {
    await restartWith({});
    await expectEqualDatabases(world, 60_000);
    await outcome('repaired');
    // The next run finds nothing.
    await outcome('equal');
    const { data } = await get<{ data: Run[] }>('runs?limit=500');
    expect(new Set(data.map(({ reason }) => reason))).toEqual(new Set(['scheduled']));
  }, 120_000);
});

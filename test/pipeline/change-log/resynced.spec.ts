import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { changesOf, disorderIn } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());
beforeEach(() => world.db1.query('DELETE FROM subscriptions; DELETE FROM subscription_sync.changes'));

const RESYNC = `BEGIN; SET LOCAL subscription_sync.resync = 'on'; UPDATE subscriptions SET version = 0; COMMIT`;

async function row(): Promise<Record<string, unknown>> {
  return (await world.db1.query<Record<string, unknown>>('SELECT * FROM subscriptions')).rows[0]!;
}

test('a resync changes only the version of the row, and is logged with the current row', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status, plan) VALUES ('ada@example.com', 'active', 'pro')`);
  const before = await row();
  await world.db1.query(RESYNC);
  const after = await row();
  expect(after).toEqual({ ...before, version: after['version'] });
  expect(Number(after['version'])).toBeGreaterThan(Number(before['version']));
  const [created, resynced] = await changesOf(world.db1);
  expect(resynced).toMatchObject({ operation: 'resynced', version: Number(after['version']), image: { plan: 'pro' }, previous: {} });
  const timeOf = (event: string): string => (JSON.parse(event) as { time: string }).time;
  expect(Date.parse(timeOf(resynced!.event))).toBeGreaterThanOrEqual(Date.parse(timeOf(created!.event)));
  expect(await disorderIn(world.db1)).toEqual([]);
});

test('a resync with a change in the same statement is logged as that change', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active')`);
  await world.db1.query(
    `BEGIN; SET LOCAL subscription_sync.resync = 'on'; UPDATE subscriptions SET version = 0, status = 'paused'; COMMIT`,
  );
  expect((await changesOf(world.db1)).at(-1)).toMatchObject({ operation: 'updated', previous: { status: 'active' } });
});

test('a version of 0 that does not request a resync is ignored like any other version', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active')`);
  await world.db1.query('UPDATE subscriptions SET version = 0');
  expect(await changesOf(world.db1)).toHaveLength(1);
});

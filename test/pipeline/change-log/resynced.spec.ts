import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { changesOf, disorderIn } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());
beforeEach(() => world.db1.query('DELETE FROM subscriptions; DELETE FROM subscription_sync.changes'));

test('a resync leaves the row as it is, and is logged with it under a new version', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status, plan) VALUES ('ada@example.com', 'active', 'pro')`);
  const before = (await world.db1.query('SELECT *, xmin FROM subscriptions')).rows;
  await world.db1.query(`SELECT subscription_sync.append_row('resynced', s.email) FROM subscriptions s`);
  expect((await world.db1.query('SELECT *, xmin FROM subscriptions')).rows).toEqual(before);
  const [created, resynced] = await changesOf(world.db1);
  expect(resynced).toMatchObject({ operation: 'resynced', image: { plan: 'pro' }, previous: {} });
  expect(resynced!.version).toBeGreaterThan(created!.version);
  const timeOf = (event: string): string => (JSON.parse(event) as { time: string }).time;
  expect(Date.parse(timeOf(resynced!.event))).toBeGreaterThanOrEqual(Date.parse(timeOf(created!.event)));
  expect(await disorderIn(world.db1)).toEqual([]);
});

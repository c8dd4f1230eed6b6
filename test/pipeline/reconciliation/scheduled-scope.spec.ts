import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../../harness/databases.js';
import { World } from '../../harness/world.js';
import { call, finished, type Run } from './runs.js';

const ROWS = 12_000;
const CHANGED = 10_500;
let world: World;

beforeAll(async () => {
  world = await World.started();
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'row' || lpad(i::text, 5, '0') || '@example.com', 'active' FROM generate_series(1, ${ROWS}) i`,
  );
  await world.db1.query('ANALYZE subscriptions');
  await expectEqualDatabases(world);
  await finished(world, (await call(world, 'POST', 'runs', {})).run.id);
});
afterAll(() => world.close());

/** Changes the first rows. */
async function change(rows: number, plan: string): Promise<void> {
  await world.db1.query(`UPDATE subscriptions SET plan = $2 WHERE email <= 'row' || lpad($1::text, 5, '0') || '@example.com'`, [
    String(rows),
    plan,
  ]);
  await expectEqualDatabases(world);
}

/** Opens a run over the emails that were changed since the previous run, as the schedule does, and waits for its end. */
async function scheduledRun(): Promise<Run> {
  const { rows } = await world.db1.query<{ id: number }>(
    `INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair, scope, since)
     SELECT 'scheduled', evidence, true, 'changed', snapshot FROM subscription_sync.reconciliation_runs ORDER BY id DESC LIMIT 1 RETURNING id::int`,
  );
  return finished(world, rows[0]!.id);
}

test('a scheduled run over changed emails compares all rows when that is cheaper', async () => {
  await change(CHANGED, 'many');
  // A run over changed emails does not find it.
  await world.db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE email = 'row${ROWS}@example.com'`);
  expect(await scheduledRun()).toMatchObject({ scope: 'all', compared: ROWS, outcome: 'repaired', differing: 1 });
  await expectEqualDatabases(world);
});

test('a scheduled run compares few changed emails alone', async () => {
  await change(10, 'few');
  // The run before has changed a row, too: it repaired it.
  expect(await scheduledRun()).toMatchObject({ scope: 'changed', compared: 10 + 1, outcome: 'equal' });
});

test('a run over changed emails that a person asks for compares these, however many they are', async () => {
  await change(CHANGED, 'all of them');
  const { run } = await call(world, 'POST', 'runs', { scope: 'changed' });
  expect(await finished(world, run.id)).toMatchObject({ scope: 'changed', outcome: 'equal' });
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Role } from '#config';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

const ONE: readonly (readonly Role[])[] = [['api', 'sync', 'replica']];
const THREE: readonly (readonly Role[])[] = [['api'], ['sync'], ['replica']];

describe.each([
  { capture: 'wal', servers: ONE },
  { capture: 'wal', servers: THREE },
  { capture: 'poll', servers: ONE },
  { capture: 'poll', servers: THREE },
] as const)('capture by $capture in $servers.length process(es)', ({ capture, servers }) => {
  let world: World;

  beforeAll(async () => {
    world = await World.started({ capture, servers });
  });
  afterAll(() => world.close());

  const inDb2 = async (email: string): Promise<Record<string, unknown> | undefined> =>
    (await world.db2.query<Record<string, unknown>>('SELECT * FROM subscriptions WHERE email = $1', [email])).rows[0];

  test('a created subscription appears in DB2 with all its fields', async () => {
    const body = {
      email: 'Ada@Example.com',
      status: 'active',
      plan: 'pro',
      access_until: '2027-01-31T00:00:00.123456Z',
      metadata: { n: 1.5, deep: { ok: true } },
    };
    const response = await fetch(`${world.url}/subscriptions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(201);
    const row = await eventually(() => inDb2('ada@example.com'));
    expect(row).toMatchObject({ status: 'active', plan: 'pro', metadata: { n: 1.5, deep: { ok: true } }, cancel_at_period_end: false });
    await expectEqualDatabases(world);
  });

  test('inserts, updates, email changes and deletions by raw SQL appear in DB2', async () => {
    await world.db1.query(
      `INSERT INTO subscriptions (email, status) VALUES ('bob@example.com', 'trialing'), ('eve@example.com', 'active')`,
    );
    await eventually(() => inDb2('bob@example.com'));
    await world.db1.query(
      `UPDATE subscriptions SET status = 'on_holiday', metadata = '{"amount": 12345678901234567890.10}' WHERE email = 'bob@example.com'`,
    );
    await eventually(async () => (await inDb2('bob@example.com'))?.['status'] === 'on_holiday');
    await world.db1.query(`UPDATE subscriptions SET email = 'robert@example.com' WHERE email = 'bob@example.com'`);
    await eventually(async () => Boolean(await inDb2('robert@example.com')) && !(await inDb2('bob@example.com')));
    await world.db1.query(`DELETE FROM subscriptions WHERE email = 'eve@example.com'`);
    await eventually(async () => !(await inDb2('eve@example.com')));
    await expectEqualDatabases(world);
  });

  test('2,500 rows changed by one statement, which are several batches, appear in DB2', async () => {
    await world.db1.query(
      `INSERT INTO subscriptions (email, status) SELECT 'bulk' || i || '@example.com', 'active' FROM generate_series(1, 2500) i`,
    );
    await world.db1.query(`UPDATE subscriptions SET status = 'paused', plan = 'basic' WHERE email LIKE 'bulk%'`);
    await expectEqualDatabases(world);
    const { rows } = await world.db2.query<{ count: number }>(`SELECT count(*)::int FROM subscriptions WHERE status = 'paused'`);
    expect(rows[0]!.count).toBe(2_500);
  });
});

import { expect, test } from '@jest/globals';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

test('a canary travels from DB1 to DB2 every CANARY_INTERVAL and appears in no table', async () => {
  const world = await World.started({ env: { CANARY_INTERVAL: '1' }, servers: [['api', 'sync', 'replica'], ['sync']] });
  try {
    const flown = await eventually(async () => {
      const metrics = await (await fetch(`${world.url}/metrics`)).text();
      const other = await (await fetch(`${world.urls[1]}/metrics`)).text();
      const count = [metrics, other].reduce(
        (sum, text) => sum + Number(/^subscription_sync_canary_seconds_count (\d+)$/m.exec(text)?.[1]),
        0,
      );
      return count >= 3 ? metrics : undefined;
    }, 30_000);
    expect(flown).toContain('subscription_sync_canaries_late_total 0');
    expect((await world.db1.query('SELECT FROM subscriptions')).rowCount).toBe(0);
    expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe(0);
    expect(await (await fetch(`${world.url}/events`)).json()).toMatchObject({ data: [] });
    expect(await (await fetch(`${world.url}/subscriptions`)).json()).toMatchObject({ data: [] });
    // Two processes, one canary a second.
    const { rows } = await world.db1.query<{ close: number }>(
      `SELECT count(*)::int AS close FROM (
         SELECT occurred_at - lag(occurred_at) OVER (ORDER BY version) AS apart FROM subscription_sync.changes WHERE email LIKE 'canary@%'
       ) c WHERE apart < interval '0.9 s'`,
    );
    expect(rows[0]!.close).toBe(0);
  } finally {
    await world.close();
  }
});

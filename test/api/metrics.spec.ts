import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '../harness/eventually.js';
import { slotIsRead, World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started();
  // Until then the log is read by SQL, and the stream may have the same changes once more.
  await slotIsRead(world);
});
afterAll(() => world.close());

/** Returns every sample of the service's own metrics, without buckets. */
async function samples(): Promise<Record<string, number>> {
  const text = await (await fetch(`${world.url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => /^subscription_sync_(?!.*_bucket)/.test(line));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

test('each stage counts the changes that it processed, and the lag is 0 once all are processed', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 500) i`);
  await world.db1.query(`UPDATE subscriptions SET status = 'active'`);
  const seen = await eventually(async () => {
    const now = await samples();
    return now['subscription_sync_applied_total']! + now['subscription_sync_guarded_total']! === 1_000 ? now : undefined;
  });
  expect(seen).toMatchObject({
    subscription_sync_captured_total: 1_000,
    subscription_sync_published_total: 1_000,
    subscription_sync_publish_lag_changes: 0,
    subscription_sync_publish_lag_seconds: 0,
    subscription_sync_publish_delay_seconds_count: expect.any(Number),
    subscription_sync_apply_delay_seconds_count: expect.any(Number),
  });
  expect(seen['subscription_sync_slot_retained_bytes']).toBeGreaterThan(0);
  expect(seen['subscription_sync_capture_lag_bytes']).toBeGreaterThanOrEqual(0);
  await eventually(async () => {
    const now = await samples();
    return now['subscription_sync_apply_lag_changes'] === 0 && now['subscription_sync_apply_lag_seconds'] === 0;
  });
});

test('waiting changes are counted, with their age', async () => {
  const client = await world.db2.connect();
  await client.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'late' || i || '@example.com' FROM generate_series(1, 30) i`);
  try {
    const waiting = await eventually(async () => {
      const now = await samples();
      return now['subscription_sync_apply_lag_changes'] === 30 ? now : undefined;
    });
    expect(waiting['subscription_sync_apply_lag_seconds']).toBeGreaterThan(0);
  } finally {
    await client.query('COMMIT');
    client.release();
  }
  await eventually(async () => (await samples())['subscription_sync_apply_lag_changes'] === 0);
});

test('a dead letter is counted by its cause', async () => {
  await world.db2.query('ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) < 3)');
  await world.db1.query(`INSERT INTO subscriptions (email, plan) VALUES ('wide@example.com', 'wide')`);
  const { rows } = await eventually(async () => {
    const letters = await world.db2.query('SELECT error_class FROM subscription_sync.dead_letters');
    return letters.rowCount === 1 ? letters : undefined;
  });
  expect(rows).toEqual([{ error_class: '23514' }]);
  await eventually(async () => (await samples())['subscription_sync_dead_letters_total{error_class="23514"}'] === 1);
});

test('metrics of the process are included, and the output is in Prometheus format', async () => {
  const response = await fetch(`${world.url}/metrics`);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  expect(text).toContain('process_resident_memory_bytes');
  // promtool check metrics, which `npm run test:dashboard` runs, refuses them.
  expect(text).not.toMatch(/^# TYPE \S+_total (?!counter)/m);
});

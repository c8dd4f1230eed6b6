import { afterEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

let world: World;

afterEach(() => world.close());

/** Inserts a row that is large in the table and in the event: random letters do not compress. */
async function insert(email: string, megabytes: number): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, metadata)
     SELECT $1, jsonb_build_object('a', string_agg(md5(i::text || random()::text), '')) FROM generate_series(1, $2::int) i`,
    [email, Math.ceil((megabytes * 1024 * 1024) / 32)],
  );
}

async function emailsIn(pool: World['db1']): Promise<string[]> {
  const { rows } = await pool.query<{ email: string }>('SELECT email FROM subscriptions ORDER BY email');
  return rows.map(({ email }) => email);
}

async function unpublishable(): Promise<string[]> {
  return (await world.db1.query<{ email: string }>('SELECT email FROM subscription_sync.unpublishable_changes ORDER BY version')).rows.map(
    ({ email }) => email,
  );
}

/** Creates the world's topic with a limit. */
async function createTopic(maxBytes: number): Promise<void> {
  const admin = world.kafka.admin();
  await admin.connect();
  const configEntries = [{ name: 'max.message.bytes', value: String(maxBytes) }];
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: world.topic, numPartitions: 3, configEntries }] });
  await admin.disconnect();
}

test.each([
  { capture: 'wal', limit: 'the limit of the service', large: 9, tooLarge: 11 },
  // A batch that is read by SQL has less than a megabyte, unless one change is larger.
  { capture: 'poll', limit: 2_000_000, large: 1.5, tooLarge: 2.5 },
] as const)('a change that Kafka can not take delays no other change ($capture, $limit)', async ({ capture, limit, large, tooLarge }) => {
  world = await World.create({ capture });
  if (typeof limit === 'number') await createTopic(limit);
  await world.start();
  await world.ready();
  await insert('a@example.com', 0.01);
  await insert('large@example.com', large);
  await insert('too-large@example.com', tooLarge);
  await insert('z@example.com', 0.01);
  await eventually(async () => (await emailsIn(world.db2)).includes('z@example.com'), 40_000);
  await eventually(async () => (await emailsIn(world.db2)).includes('large@example.com'), 40_000);
  expect(await emailsIn(world.db2)).toEqual(['a@example.com', 'large@example.com', 'z@example.com']);
  expect(await unpublishable()).toEqual(['too-large@example.com']);
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  expect(metrics).toMatch(/^subscription_sync_unpublishable_total 1$/m);
  await world.db1.query(`UPDATE subscriptions SET metadata = '{}' WHERE email = 'too-large@example.com'`);
  await expectEqualDatabases(world);
});

test('on a topic with a lower limit, only the records of a batch that are too large are unpublishable', async () => {
  world = await World.create();
  await createTopic(20_000);
  await world.start();
  await world.ready();
  await world.db1.query(`
    INSERT INTO subscriptions (email, metadata)
    SELECT 'row' || lpad(i::text, 2, '0') || '@example.com', jsonb_build_object('a', repeat('x', CASE WHEN i % 10 = 0 THEN 30000 ELSE 1000 END))
    FROM generate_series(1, 60) i`);
  await eventually(async () => (await emailsIn(world.db2)).length === 54);
  // The last record is large: it comes after all records that DB2 gets.
  await eventually(async () => (await unpublishable()).length === 6);
  expect(await unpublishable()).toEqual(['row10', 'row20', 'row30', 'row40', 'row50', 'row60'].map((name) => `${name}@example.com`));
});

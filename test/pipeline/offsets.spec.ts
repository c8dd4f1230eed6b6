import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import { eventually, problemOf } from '../harness/eventually.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { putOnTopic, World, type WorldOptions } from '../harness/world.js';

let world: World;
let admin: Admin;

beforeAll(async () => {
  world = await World.started(committingAfter(0));
  admin = world.kafka.admin();
  await admin.connect();
});
afterAll(async () => {
  await admin.disconnect();
  await world.close();
});

/** Returns the options of a world that commits offsets after this time (ms). */
function committingAfter(commitIntervalMs: number): WorldOptions {
  return { timings: { kafka: { ...TEST_TIMINGS.kafka, commitIntervalMs } } };
}

/** Returns the number of records that the group has committed. */
async function committed({ name, topic } = world): Promise<number> {
  const [offsets] = await admin.fetchOffsets({ groupId: name, topics: [topic] });
  return offsets!.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
}

test('an offset is committed after DB2 has the change, not before', async () => {
  const client = await world.db2.connect();
  await client.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 30) i`);
  await eventually(async () => {
    const waiting = await client.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1`, [world.name]);
    return (waiting.rowCount ?? 0) > 0;
  });
  const before = await committed();
  await client.query('COMMIT');
  client.release();
  expect(before).toBe(0);
  await eventually(async () => (await committed()) === 30);
});

test('an offset does not advance past a record whose dead letter can not be stored', async () => {
  const before = await committed();
  await world.db2.query('ALTER TABLE subscription_sync.dead_letters RENAME TO away');
  await putOnTopic(world, [{ key: 'bad@example.com', value: 'no event' }]);
  await eventually(async () => (await problemOf(world.url, 'replica'))?.includes('subscription_sync.dead_letters'));
  expect(await committed()).toBe(before);
  await world.db2.query('ALTER TABLE subscription_sync.away RENAME TO dead_letters');
  await eventually(async () => (await committed()) === before + 1);
  expect((await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount).toBe(1);
});

test('a process that stops commits what it has applied', async () => {
  await World.lend(async (patient) => {
    await patient.start();
    await patient.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 30) i`);
    await eventually(async () => (await patient.db2.query('SELECT FROM subscriptions')).rowCount === 30);
    const before = await committed(patient);
    await patient.stop();
    expect([before, await committed(patient)]).toEqual([0, 30]);
  }, committingAfter(60_000));
});

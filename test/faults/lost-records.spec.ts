import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

/** Runs sync and replica as separate processes, so that one can be down while the other runs. */
let world: World;
let replica: World;
let admin: Admin;

beforeEach(async () => {
  world = await World.started({ servers: [['api', 'sync']] });
  replica = world.beside({ servers: [['replica']] });
  await replica.start();
  admin = world.kafka.admin();
  await admin.connect();
});
afterEach(async () => {
  await admin.disconnect();
  await replica.stop();
  await world.close();
});

let round = 0;

async function write(rows: number): Promise<void> {
  round += 1;
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'r${round}-' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
}

async function breaks(): Promise<number> {
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  return Number(/chain_breaks_total{reason="topic_lost_records"} (\d+)/.exec(metrics)?.[1] ?? 0);
}

/** Waits until everything written is on the topic, whatever the replica has applied. */
async function published(records: number): Promise<void> {
  await eventually(async () => {
    const offsets = await admin.fetchTopicOffsets(world.topic);
    return offsets.reduce((sum, { high }) => sum + Number(high), 0) >= records;
  });
}

test('changes arrive even when the topic is deleted before the replica has read them', async () => {
  await write(50);
  await expectEqualDatabases(world);
  await replica.stop();
  await write(500);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE 'r%-1@example.com'`);
  await published(551);
  await admin.deleteTopics({ topics: [world.topic] });
  await write(5);
  await eventually(async () => (await admin.listTopics()).includes(world.topic), 40_000);
  await replica.start();
  await expectEqualDatabases(world, 60_000);
  expect(await breaks()).toBeGreaterThan(0);
});

test('changes arrive even when their records expire before the replica has read them', async () => {
  await write(50);
  await expectEqualDatabases(world);
  await replica.stop();
  await write(300);
  await published(350);
  const offsets = await admin.fetchTopicOffsets(world.topic);
  await admin.deleteTopicRecords({
    topic: world.topic,
    partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })),
  });
  await write(20);
  await replica.start();
  await expectEqualDatabases(world, 60_000);
  expect(await breaks()).toBe(1);
});

test('restarts, replays and duplicates are never reported as a gap', async () => {
  for (let i = 0; i < 3; i += 1) {
    await write(200);
    await replica.stop();
    await replica.start();
  }
  await expectEqualDatabases(world);
  await replica.stop();
  await eventually(async () => admin.resetOffsets({ groupId: world.name, topic: world.topic, earliest: true }).then(() => true));
  await write(10);
  await replica.start();
  await expectEqualDatabases(world);
  const { rows } = await world.db2.query('SELECT FROM subscription_sync.positions WHERE breaks > 0');
  expect(rows).toEqual([]);
  expect((await world.db1.query('SELECT FROM subscription_sync.reconciliation_runs')).rowCount).toBe(0);
});

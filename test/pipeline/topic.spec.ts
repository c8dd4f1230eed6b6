import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Admin } from 'kafkajs';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { loggedText } from '../harness/logged-text.js';
import { World } from '../harness/world.js';

/** The Kafka protocol's resource type of a topic. kafkajs's own enum can not be imported by name from an ES module. */
const TOPIC_RESOURCE = 2;

let world: World;
let admin: Admin;

beforeAll(async () => {
  world = await World.started();
  admin = world.kafka.admin();
  await admin.connect();
});
afterAll(async () => {
  await admin.disconnect();
  await world.close();
});

let round = 0;

async function write(rows: number): Promise<void> {
  round += 1;
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'r${round}-' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
}

test('a topic that the service creates has safe settings', async () => {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: TOPIC_RESOURCE, name: world.topic }],
  });
  const config = Object.fromEntries(resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  expect(config).toMatchObject({ 'cleanup.policy': 'delete', 'unclean.leader.election.enable': 'false', 'min.insync.replicas': '1' });
});

test('a topic that is deleted while the service runs is created again, and the databases converge', async () => {
  await write(500);
  await expectEqualDatabases(world);
  await admin.deleteTopics({ topics: [world.topic] });
  await write(500);
  await eventually(async () => (await admin.listTopics()).includes(world.topic), 40_000);
  await expectEqualDatabases(world, 60_000);
});

test('partitions that are added while the service runs are written and read', async () => {
  await write(500);
  await expectEqualDatabases(world);
  await admin.createPartitions({ topicPartitions: [{ topic: world.topic, count: 9 }] });
  // The same emails before and after: their later records are in another partition.
  const changed = async (): Promise<boolean> => {
    await write(20);
    await world.db1.query(`UPDATE subscriptions SET status = 's${round}' WHERE email LIKE 'r%-1_@example.com'`);
    const offsets = await admin.fetchTopicOffsets(world.topic);
    return offsets.length === 9 && offsets.every(({ high }) => high !== '0');
  };
  await eventually(changed);
  await expectEqualDatabases(world);
});

test('after offsets are deleted or reset to the earliest, all records are read again and change nothing', async () => {
  await write(300);
  await world.db1.query(`UPDATE subscriptions SET status = 'paused'`);
  await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE '%-1@example.com'`);
  await expectEqualDatabases(world);
  await world.stop();
  await eventually(async () => admin.resetOffsets({ groupId: world.name, topic: world.topic, earliest: true }).then(() => true));
  await world.db1.query(`UPDATE subscriptions SET status = 'active' WHERE email LIKE '%2@example.com'`);
  await world.start();
  await expectEqualDatabases(world);
  await world.stop();
  await eventually(async () => admin.deleteGroups([world.name]).then(() => true));
  await world.start();
  await world.ready();
  await expectEqualDatabases(world);
});

test('each unsafe setting of an existing topic is logged at start, and the topic is left as it is', async () => {
  const plain = await World.create({ env: { KAFKA_REPLICATION_FACTOR: '3' } });
  await admin.createTopics({
    waitForLeaders: true,
    topics: [
      {
        topic: plain.topic,
        numPartitions: 2,
        configEntries: [
          { name: 'cleanup.policy', value: 'compact,delete' },
          { name: 'unclean.leader.election.enable', value: 'true' },
        ],
      },
    ],
  });
  const warn = jest.spyOn(Logger.prototype, 'warn');
  await plain.start();
  await plain.ready();
  const warnings = warn.mock.calls.map(([message]) => loggedText(message)).filter((line) => line.includes(`Topic ${plain.topic} has `));
  warn.mockRestore();
  const flaws = new Set(warnings.map((line) => new RegExp(`Topic ${plain.topic} has ([^,:]+)`).exec(line)![1]));
  expect(flaws).toEqual(
    new Set([
      'partition count 2',
      'replication factor 1',
      'min.insync.replicas=1',
      'unclean.leader.election.enable=true',
      'cleanup.policy=compact',
    ]),
  );
  await plain.close();
});

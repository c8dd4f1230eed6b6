import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../harness/eventually.js';
import { recordOf } from '../harness/history.js';
import type { Random } from '../harness/random-operations.js';
import { over, type Fault, type Faults } from './fault.js';
import { putRecords, readTopic, type NewRecord, type TopicRecord } from './topic.js';

/** Maximum number of records that are published again. */
const REPLAYED = 5_000;

const replayed = (order: (records: TopicRecord[], random: Random) => TopicRecord[]): Fault => ({
  uses: ['kafka'],
  inject: async (scene, random) => {
    const records = await readTopic(scene);
    await putRecords(scene, order(records.slice(-REPLAYED), random));
    return over;
  },
});

/** Returns records of every kind that can't be applied. */
function poison(): NewRecord[] {
  const good = { email: 'poison@example.com', version: 9_000_000, operation: 'created', status: 'active' } as const;
  const bytesOf = (change: object): Buffer => recordOf({ ...good, ...change }, 0).value!;
  const key = Buffer.from(good.email);
  // An incompressible text that is longer than an index entry may be.
  const long = randomBytes(6_000).toString('hex');
  return [
    { key: null, value: bytesOf({}) },
    { key, value: null },
    { key, value: Buffer.from('{"specversion":') },
    { key, value: Buffer.from([0xff, 0xfe, 0x00]) },
    { key, value: Buffer.from('{"specversion":"1.0"}') },
    { key, value: Buffer.from(bytesOf({}).toString().replaceAll('9000000', '9007199254740993')) },
    { key: Buffer.from('other@example.com'), value: bytesOf({}) },
    { key, value: bytesOf({ image: { metadata: { a: '\u0000' } } }) },
    { key, value: bytesOf({ image: { access_until: 'soon' } }) },
    { key: Buffer.from(long), value: bytesOf({ email: long }) },
  ];
}

const poisoned: Fault = {
  uses: ['kafka'],
  inject: async (scene, random) => {
    for (const record of random.shuffled(poison())) await putRecords(scene, [record]);
    return over;
  },
};

/** A foreign member joins the group, gets partitions, processes nothing, and leaves. */
const foreignMember: Fault = {
  uses: ['kafka'],
  inject: async ({ world }) => {
    const consumer = world.kafka.consumer({
      groupId: world.name,
      allowAutoTopicCreation: false,
      sessionTimeout: 6_000,
      rebalanceTimeout: 6_000,
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [world.topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: () => delay(100) });
    return () => consumer.disconnect();
  },
};

/** An operator resets the group to the beginning, which requires a group without members. */
const offsetsReset: Fault = {
  uses: ['replica', 'kafka', 'kafka-path', 'db2', 'db2-path'],
  inject: async (scene) => {
    const { fleet, world } = scene;
    const members = fleet.membersOf('replica');
    await Promise.all(members.map((member) => fleet.end(member, 'SIGTERM')));
    await eventually(() =>
      scene.withAdmin((admin) => admin.resetOffsets({ groupId: world.name, topic: world.topic, earliest: true }).then(() => true)),
    );
    await Promise.all(members.map((member) => fleet.launch(member)));
    return over;
  },
};

/** Faults that other programs and operators cause in the topic and the consumer group. */
export const topicFaults: Faults = {
  'replay-duplicated': replayed((records) => records),
  'replay-shuffled': replayed((records, random) => random.shuffled(records)),
  poison: poisoned,
  'foreign-member': foreignMember,
  'offsets-reset': offsetsReset,
};

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import type { PoolClient } from 'pg';
import { partitionByKey } from '#kafka';
import { expectEqualDatabases } from '../harness/compare.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';

const PARTITIONS = 6;
/** More than kafkajs works on at once. */
const STUCK = 4;
/** Three session timeouts. */
const STALL_MS = 20_000;

let world: World;
let admin: Admin;
let blocker: PoolClient;

beforeEach(async () => {
  world = await World.started({ env: { KAFKA_PARTITIONS: String(PARTITIONS) } });
  admin = world.kafka.admin();
  await admin.connect();
  blocker = await world.db2.connect();
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT unnest($1::text[])`, [EMAILS]);
  await expectEqualDatabases(world);
});
afterEach(async () => {
  await blocker.query('ROLLBACK');
  blocker.release();
  await admin.disconnect();
  await world.close();
});

/** One email for each partition, in their order. */
const EMAILS = Array.from({ length: PARTITIONS }, (_, partition) => {
  for (let i = 0; ; i += 1) if (partitionOf(`user${i}@example.com`) === partition) return `user${i}@example.com`;
});

function partitionOf(key: string): number {
  const partitionMetadata = Array.from({ length: PARTITIONS }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 0,
    replicas: [],
    isr: [],
  }));
  return partitionByKey()({ topic: '', partitionMetadata, message: { key, value: null } });
}

async function members(): Promise<string[]> {
  const { groups } = await admin.describeGroups([world.name]);
  expect(groups[0]!.state).toBe('Stable');
  return groups[0]!.members.map(({ memberId }) => memberId);
}

async function expectWaiting(count: number): Promise<void> {
  await eventually(async () => {
    const { rowCount } = await world.db2.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1 AND application_name = 'subscription-sync'`,
      [world.name],
    );
    return rowCount === count;
  });
}

/** Changes them and sees that DB2 has it. */
async function changeAndSee(emails: readonly string[], plan: string): Promise<void> {
  await world.db1.query('UPDATE subscriptions SET plan = $2 WHERE email = ANY ($1)', [emails, plan]);
  await eventually(async () => {
    const { rowCount } = await world.db2.query('SELECT FROM subscriptions WHERE email = ANY ($1) AND plan = $2', [emails, plan]);
    return rowCount === emails.length;
  }, 5_000);
}

test('partitions that wait for locks keep their member, and the others go on', async () => {
  const before = await members();
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM replicated_subscriptions WHERE email = ANY ($1) FOR UPDATE', [EMAILS.slice(0, STUCK)]);
  await world.db1.query('UPDATE subscriptions SET plan = $2 WHERE email = ANY ($1)', [EMAILS, 'first']);
  await expectWaiting(STUCK);
  const until = Date.now() + STALL_MS;
  let round = 0;
  for (; Date.now() < until; round += 1) {
    await changeAndSee(EMAILS.slice(STUCK), `round ${round}`);
    expect(await members()).toEqual(before);
  }
  expect(round).toBeGreaterThan(10);
  await expectWaiting(STUCK);
  await blocker.query('COMMIT');
  await expectEqualDatabases(world);
  expect(await members()).toEqual(before);
}, 60_000);

test('a database that is blocked altogether costs no partition, and everything arrives when it is not', async () => {
  const before = await members();
  await blocker.query('BEGIN; LOCK TABLE replicated_subscriptions IN EXCLUSIVE MODE');
  await world.db1.query('UPDATE subscriptions SET plan = $2 WHERE email = ANY ($1)', [EMAILS, 'first']);
  await expectWaiting(PARTITIONS);
  const until = Date.now() + STALL_MS;
  while (Date.now() < until) {
    await world.db1.query('UPDATE subscriptions SET plan = $2 WHERE email = ANY ($1)', [EMAILS, String(Date.now())]);
    expect(await members()).toEqual(before);
  }
  await blocker.query('COMMIT');
  await expectEqualDatabases(world);
  expect(await members()).toEqual(before);
}, 60_000);

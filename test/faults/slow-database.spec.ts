import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { Admin } from 'kafkajs';
import type { PoolClient } from 'pg';
import { partitionByKey } from '#kafka';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { lockWaits, World } from '../harness/world.js';

const PARTITIONS = 8;
/** Number of partitions that wait for locks: as many as may with the default pool. */
const STUCK = 6;
/** Duration (ms) of the locks, longer than the session timeout of 6 s, after which the group removes a member without heartbeats. */
const STALL_MS = 10_000;
/** Pause (ms) between two changes: the test observes waiting partitions, not throughput. */
const BETWEEN_MS = 200;

/** One email for each partition, in the order of the partitions. */
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

/** A running world whose replica has a row in each partition, and a session of another program in its DB2. */
class SlowDatabase {
  private constructor(
    readonly world: World,
    readonly admin: Admin,
    readonly blocker: PoolClient,
  ) {}

  /** Closes the world whether `work` succeeds or fails. */
  static async use(work: (slow: SlowDatabase, members: readonly string[]) => Promise<void>): Promise<void> {
    const world = await World.started({ env: { KAFKA_PARTITIONS: String(PARTITIONS) } });
    const admin = world.kafka.admin();
    await admin.connect();
    const slow = new SlowDatabase(world, admin, await world.db2.connect());
    await world.db1.query(`INSERT INTO subscriptions (email) SELECT unnest($1::text[])`, [EMAILS]);
    await expectEqualDatabases(world);
    await work(slow, await slow.members()).finally(() => slow.close());
  }

  async members(): Promise<string[]> {
    const { groups } = await this.admin.describeGroups([this.world.name]);
    if (groups[0]!.state !== 'Stable') throw new Error(`The group is ${groups[0]!.state}`);
    return groups[0]!.members.map(({ memberId }) => memberId);
  }

  async change(emails: readonly string[], plan: string): Promise<void> {
    await this.world.db1.query('UPDATE subscriptions SET plan = $2 WHERE email = ANY ($1)', [emails, plan]);
  }

  /** Waits until the number of the replica's transactions that wait for locks is as expected. */
  async expectWaiting(isExpected: (waiting: number) => boolean): Promise<void> {
    await eventually(async () => isExpected((await lockWaits(this.world.db2, this.world.name)).length));
  }

  /** Changes the rows and waits until DB2 has the changes. */
  async changeAndSee(emails: readonly string[], plan: string): Promise<void> {
    await this.change(emails, plan);
    await eventually(async () => {
      const { rowCount } = await this.world.db2.query('SELECT FROM subscriptions WHERE email = ANY ($1) AND plan = $2', [emails, plan]);
      return rowCount === emails.length;
    }, 5_000);
  }

  private async close(): Promise<void> {
    await this.blocker.query('ROLLBACK');
    this.blocker.release();
    await this.admin.disconnect();
    await this.world.close();
  }
}

// Both tests mostly wait, so they run concurrently.
test.concurrent('partitions that wait for locks stay with their group member, and the other partitions continue', () =>
  SlowDatabase.use(async (slow, before) => {
    await slow.blocker.query('BEGIN');
    await slow.blocker.query('SELECT FROM subscriptions WHERE email = ANY ($1) FOR UPDATE', [EMAILS.slice(0, STUCK)]);
    await slow.change(EMAILS, 'first');
    await slow.expectWaiting((waiting) => waiting === STUCK);
    const until = Date.now() + STALL_MS;
    let round = 0;
    for (; Date.now() < until; round += 1) {
      await slow.changeAndSee(EMAILS.slice(STUCK), `round ${round}`);
      expect(await slow.members()).toEqual(before);
      await delay(BETWEEN_MS);
    }
    expect(round).toBeGreaterThan(10);
    await slow.expectWaiting((waiting) => waiting === STUCK);
    await slow.blocker.query('COMMIT');
    await expectEqualDatabases(slow.world);
    expect(await slow.members()).toEqual(before);
  }),
);

test.concurrent('while DB2 is blocked completely no partition is lost, and everything arrives afterwards', () =>
  SlowDatabase.use(async (slow, before) => {
    await slow.blocker.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
    await slow.change(EMAILS, 'first');
    // Small batches of several partitions share a transaction.
    await slow.expectWaiting((waiting) => waiting > 0);
    const until = Date.now() + STALL_MS;
    while (Date.now() < until) {
      await slow.change(EMAILS, String(Date.now()));
      expect(await slow.members()).toEqual(before);
      await delay(BETWEEN_MS);
    }
    await slow.blocker.query('COMMIT');
    await expectEqualDatabases(slow.world);
    expect(await slow.members()).toEqual(before);
  }),
);

import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { Random } from '../../harness/random-operations.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';

async function insert(world: World, name: string, rows: number): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT '${name}' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
}

/** Marks records as lost, as the replica would, so that a run starts. */
async function reportGap(world: World): Promise<void> {
  await world.db2.query('UPDATE subscription_sync.positions SET breaks = breaks + 1');
}

async function finishedRuns(world: World, count: number): Promise<void> {
  await eventually(async () => {
    const { rowCount } = await world.db1.query('SELECT FROM subscription_sync.reconciliation_runs WHERE finished_at IS NOT NULL');
    return rowCount! >= count;
  }, 60_000);
}

test.concurrent('rows that only DB2 has are removed while other programs create and delete the same emails', () =>
  World.lend(async (world) => {
    await world.start();
    await world.ready();
    await insert(world, 'row', 100);
    await expectEqualDatabases(world);
    const emails = Array.from({ length: 30 }, (_, i) => `contested${i}@example.com`);
    let going = true;
    const writing = Array.from({ length: 6 }, async (_, seed) => {
      const random = new Random(seed);
      while (going) {
        await world.db1.query('INSERT INTO subscriptions (email) VALUES ($1) ON CONFLICT DO NOTHING', [random.pick(emails)]);
        await world.db1.query('DELETE FROM subscriptions WHERE email = $1', [random.pick(emails)]);
        // A few hundred writes a second collide often enough on thirty emails.
        await delay(20);
      }
    });
    for (let round = 1; round <= 3; round += 1) {
      // One statement for all of them might deadlock with the replica, which creates and deletes some of them.
      for (const email of [...emails, ...Array.from({ length: 200 }, (_, i) => `ghost${i}@example.com`)])
        await world.db2.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'ghost') ON CONFLICT DO NOTHING`, [email]);
      await reportGap(world);
      await finishedRuns(world, round);
    }
    going = false;
    await Promise.all(writing);
    await expectEqualDatabases(world);
  }),
);

test.concurrent('a gap that is found during another run gets its own run, also when later changes hide it', () =>
  World.lend(async (world) => {
    await world.start();
    await world.ready();
    await insert(world, 'row', 20);
    await expectEqualDatabases(world);
    const runningElsewhere = `
      INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair, runner, lease_until)
      VALUES ('requested', '{"partitions":[],"sequence":0}', true, gen_random_uuid(), 'infinity')`;
    await world.db1.query(runningElsewhere);
    const { rows } = await world.db2.query<{ partition: number; version: number }>(
      'UPDATE subscription_sync.positions SET version = version + 1000 RETURNING partition, version - 1000 AS version',
    );
    await world.db2.query(
      `INSERT INTO subscription_sync.captured VALUES ($1, 1020, now()) ON CONFLICT (topic) DO UPDATE SET version = excluded.version`,
      [world.topic],
    );
    // The check advances the sequence when it finds the gap.
    await eventually(async () => {
      const { rows: sequence } = await world.db1.query<{ drawn: boolean }>(
        'SELECT last_value > 1000 AS drawn FROM subscription_sync.version',
      );
      return sequence[0]!.drawn;
    });
    for (const { partition, version } of rows)
      await world.db2.query('UPDATE subscription_sync.positions SET version = $2 WHERE partition = $1', [partition, version]);
    await world.db2.query('DELETE FROM subscription_sync.captured');
    await world.db1.query(`UPDATE subscription_sync.reconciliation_runs SET finished_at = now(), outcome = 'equal'`);
    await finishedRuns(world, 2);
    const runs = await world.db1.query('SELECT reason, outcome FROM subscription_sync.reconciliation_runs ORDER BY id');
    expect(runs.rows).toEqual([
      { reason: 'requested', outcome: 'equal' },
      { reason: 'db1_lost_changes', outcome: 'equal' },
    ]);
  }),
);

test.concurrent('a run whose process is killed is finished by another process', () =>
  World.lend(async (world) => {
    const first = await ServerProcess.start(world.environment());
    // The run repairs them in two chunks.
    await insert(world, 'row', 1_500);
    await expectEqualDatabases(world);
    await world.db2.query(`DELETE FROM subscriptions WHERE email <> 'row1@example.com'`);
    const client = await world.db1.connect();
    await client.query('BEGIN; SELECT FROM subscriptions FOR UPDATE');
    await reportGap(world);
    await eventually(async () => (await blockedRepairs(world)) > 0, 30_000);
    await first.signal('SIGKILL');
    await client.query('ROLLBACK');
    client.release();
    await world.start();
    await finishedRuns(world, 1);
    await expectEqualDatabases(world);
  }),
);

async function blockedRepairs(world: World): Promise<number> {
  const { rowCount } = await world.db1.query(
    `SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE '%subscription_sync.lock_rows(%'`,
    [world.name],
  );
  return rowCount ?? 0;
}

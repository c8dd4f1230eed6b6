import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from './harness/compare.js';
import { eventually } from './harness/eventually.js';
import { readinessOf } from './harness/readiness.js';
import { World } from './harness/world.js';

let world: World;

beforeEach(async () => {
  world = await World.started({ capture: 'wal' });
  await streaming();
});
afterEach(() => world.close());

let next = 0;

async function write(rows: number): Promise<void> {
  next += 1;
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'n${next}-' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
}

async function slots(): Promise<{ name: string; active: boolean }[]> {
  const { rows } = await world.db1.query<{ name: string; active: boolean }>(
    'SELECT slot_name AS name, active FROM pg_replication_slots WHERE database = $1',
    [world.name],
  );
  return rows;
}

/** PostgreSQL makes a slot when the transactions of all databases that were open are over, those of other tests too. */
async function streaming(): Promise<void> {
  await eventually(async () => (await slots())[0]?.active);
}

/** How often the slot that was left could not be gone on with, by why. */
async function troubles(): Promise<Record<string, number>> {
  const text = await (await fetch(`${world.url}/metrics`)).text();
  const counts = [...text.matchAll(/^subscription_sync_slots_replaced_total\{reason="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(counts.map(([, reason, count]) => [reason!, Number(count)]).filter(([, count]) => count !== 0));
}

/** Ends the reader and takes its slot in one go, before it is back. */
async function dropSlot(): Promise<void> {
  await eventually(async () => {
    await world.db1.query('SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1', [world.name]);
    await world.db1.query('SELECT pg_drop_replication_slot($1)', [world.name]);
    return true;
  });
}

test('a slot dropped while the service is away: what was written meanwhile arrives, and a new slot is there', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  await world.db1.query('SELECT pg_drop_replication_slot($1)', [world.name]);
  await write(2_500);
  await world.start();
  await world.ready();
  await expectEqualDatabases(world);
  await streaming();
  expect(await troubles()).toEqual({ missing: 1 });
});

test('a slot dropped under the running reader, while others write', async () => {
  const writing = (async (): Promise<void> => {
    for (let i = 0; i < 40; i += 1) await write(25);
  })();
  await dropSlot();
  await writing;
  await expectEqualDatabases(world);
  await streaming();
  expect(await troubles()).toEqual({ missing: 1 });
});

test('a slot of the same name that somebody made anew after a gap is not trusted', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  // Its reader may still be on its way out.
  await eventually(() => world.db1.query('SELECT pg_drop_replication_slot($1)', [world.name]));
  await write(700);
  await world.db1.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [world.name]);
  await world.start();
  await expectEqualDatabases(world);
  expect(await troubles()).toEqual({ advanced: 1 });
});

test('the publication dropped under the running reader, while others write', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.db1.query('DROP PUBLICATION subscription_sync');
  await write(30);
  await expectEqualDatabases(world);
  await streaming();
  expect(await troubles()).toEqual({ publication_missing: 1 });
});

test('a slot that waits for an open transaction: changes arrive meanwhile, and the stream takes over', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  await world.db1.query('SELECT pg_drop_replication_slot($1)', [world.name]);
  const open = await world.db1.connect();
  await open.query(`BEGIN; INSERT INTO subscriptions (email) VALUES ('open@example.com')`);
  try {
    await world.start();
    for (let i = 0; i < 3; i += 1) {
      await write(50);
      await expectEqualDatabases(world);
    }
    expect((await readinessOf(world.url)).checks['sync']).toMatchObject({
      state: 'running',
      note: expect.stringContaining('transactions'),
    });
    await open.query('COMMIT');
  } finally {
    open.release();
  }
  await streaming();
  await expectEqualDatabases(world);
  expect((await readinessOf(world.url)).checks['sync']).not.toHaveProperty('note');
});

test('backends terminated again and again lose nothing', async () => {
  for (let i = 0; i < 5; i += 1) {
    await write(200);
    await world.db1.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'subscription-sync%'`,
      [world.name],
    );
  }
  await expectEqualDatabases(world);
});

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { readinessOf } from '../harness/eventually.js';
import { dropSlot, slotIsRead, World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.create({ capture: 'wal' });
});
afterAll(() => world.close());

/** Each test has a server of its own, whose metrics begin with 0. */
beforeEach(async () => {
  await world.start();
  await world.ready();
  await slotIsRead(world);
});
afterEach(() => world.stop());

let next = 0;

async function write(rows: number): Promise<void> {
  next += 1;
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'n${next}-' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
}

/** Returns how often sync replaced its slot, by reason. */
async function slotReplacements(): Promise<Record<string, number>> {
  const text = await (await fetch(`${world.url}/metrics`)).text();
  const counts = [...text.matchAll(/^subscription_sync_slots_replaced_total\{reason="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(counts.map(([, reason, count]) => [reason!, Number(count)]).filter(([, count]) => count !== 0));
}

test('when the slot is dropped while the service is away, changes written meanwhile arrive, and a new slot exists', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  await dropSlot(world);
  await write(1_200);
  await world.start();
  await world.ready();
  await expectEqualDatabases(world);
  await slotIsRead(world);
  expect(await slotReplacements()).toEqual({ missing: 1 });
});

test('no change is lost when the slot of a running reader is dropped while others write', async () => {
  const writing = (async (): Promise<void> => {
    for (let i = 0; i < 40; i += 1) await write(25);
  })();
  await dropSlot(world);
  await writing;
  await expectEqualDatabases(world);
  await slotIsRead(world);
  expect(await slotReplacements()).toEqual({ missing: 1 });
});

test('a slot that another program created again with the same name after a gap is not trusted', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  await dropSlot(world);
  await write(700);
  await world.db1.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [world.name]);
  await world.start();
  await expectEqualDatabases(world);
  expect(await slotReplacements()).toEqual({ advanced: 1 });
});

test('no change is lost when the publication of a running reader is dropped while others write', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.db1.query('DROP PUBLICATION subscription_sync');
  await write(30);
  await expectEqualDatabases(world);
  await slotIsRead(world);
  expect(await slotReplacements()).toEqual({ publication_missing: 1 });
});

test('changes arrive while the creation of the slot waits for an open transaction, and the stream takes over afterwards', async () => {
  await write(10);
  await expectEqualDatabases(world);
  await world.stop();
  await dropSlot(world);
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
  await slotIsRead(world);
  await expectEqualDatabases(world);
  expect((await readinessOf(world.url)).checks['sync']).not.toHaveProperty('note');
});

test('no change is lost when backends are terminated repeatedly', async () => {
  for (let i = 0; i < 5; i += 1) {
    await write(200);
    await world.db1.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'subscription-sync%'`,
      [world.name],
    );
  }
  await expectEqualDatabases(world);
});

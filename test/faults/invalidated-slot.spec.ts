import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { runOn } from '../harness/addresses.js';
import { Parts } from '../harness/parts.js';
import { majorVersion } from '../harness/tested-versions.js';
import { dropSlot, slotIsRead, World } from '../harness/world.js';

// Limits of slots apply to the whole server, so this file has a DB1 of its own.
/** Number of rows that are written while the slot is not read: more than one batch. */
const MEANWHILE = 1_200;
/** Pause (ms) between two writes while DB1 restarts. */
const PAUSE_MS = 10;

let parts: Parts;
let world: World;

beforeAll(async () => {
  parts = await Parts.start(['db1', 'kafka']);
  world = await World.create({ parts: parts.addresses });
});
afterAll(async () => {
  await world.close();
  await parts.close();
});

/** Each test has a server of its own, whose metrics begin with 0. */
beforeEach(async () => {
  await world.start();
  await world.ready();
  await slotIsRead(world);
});
afterEach(async () => {
  await setOnServer('max_slot_wal_keep_size', '-1');
  if (await hasIdleTimeout()) await setOnServer('idle_replication_slot_timeout', '0');
  await world.stop();
});

/** Returns whether PostgreSQL invalidates slots that nobody reads. Versions before 18 keep them. */
async function hasIdleTimeout(): Promise<boolean> {
  return (await majorVersion(world.db1)) >= 18;
}

async function setOnServer(name: string, value: string): Promise<void> {
  await runOn(parts.addresses.db1, `ALTER SYSTEM SET ${name} = '${value}'`);
  await runOn(parts.addresses.db1, 'SELECT pg_reload_conf()');
}

async function slot(): Promise<{ status: string } | undefined> {
  const { rows } = await world.db1.query<{ status: string }>('SELECT wal_status AS status FROM pg_replication_slots WHERE slot_name = $1', [
    world.name,
  ]);
  return rows[0];
}

let written = 0;

async function write(rows: number): Promise<void> {
  written += 1;
  await world.db1.query(
    `INSERT INTO subscriptions (email) SELECT 'w${written}-' || i || '@example.com' FROM generate_series(1, ${rows}) i`,
  );
}

/** Fills the WAL until the server invalidates the slot. */
async function outgrowSlot(): Promise<void> {
  await setOnServer('max_slot_wal_keep_size', '1MB');
  await eventually(async () => {
    await world.db1.query(`SELECT pg_logical_emit_message(true, 'noise', 'x'), pg_switch_wal()`);
    await world.db1.query('CHECKPOINT');
    return (await slot())?.status === 'lost';
  });
  await setOnServer('max_slot_wal_keep_size', '-1');
}

async function expectNewSlot(reason: string): Promise<void> {
  await expectEqualDatabases(world, 60_000);
  await slotIsRead(world);
  expect((await slot())?.status).toBe('reserved');
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  const replacements = [...metrics.matchAll(/^subscription_sync_slots_replaced_total\{reason="(\w+)"\} ([1-9]\d*)/gm)];
  expect(replacements.map(([, name, count]) => `${name} ${count}`)).toEqual([`${reason} 1`]);
}

test('no change is lost when max_slot_wal_keep_size invalidates the slot while the service is away', async () => {
  await write(100);
  await expectEqualDatabases(world);
  await world.stop();
  await write(MEANWHILE);
  await outgrowSlot();
  await write(100);
  await world.start();
  await expectNewSlot('wal_removed');
});

test('no change is lost when max_slot_wal_keep_size invalidates the slot of a running reader because Kafka is away', async () => {
  await write(100);
  await expectEqualDatabases(world);
  await parts.stop('kafka');
  await write(MEANWHILE);
  await outgrowSlot();
  await write(100);
  await parts.restart('kafka');
  await expectNewSlot('wal_removed');
});

test('no change is lost when idle_replication_slot_timeout invalidates the slot while the service is away', async () => {
  if (!(await hasIdleTimeout())) return;
  await write(100);
  await expectEqualDatabases(world);
  await world.stop();
  await write(MEANWHILE);
  await setOnServer('idle_replication_slot_timeout', '1s');
  await eventually(async () => {
    await world.db1.query('CHECKPOINT');
    return (await slot())?.status === 'lost';
  });
  await world.start();
  await expectNewSlot('idle_timeout');
});

test('when no slot is free, auto continues by poll and reports why, and by wal once a slot is free', async () => {
  await write(100);
  await expectEqualDatabases(world);
  await world.stop();
  await dropSlot(world);
  await world.db1.query(
    `SELECT pg_create_physical_replication_slot('filler_' || i)
     FROM generate_series(1, current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)) i`,
  );
  await world.start();
  await write(MEANWHILE);
  await expectEqualDatabases(world);
  expect((await readinessOf(world.url)).checks['sync']).toMatchObject({
    capture: 'poll',
    note: expect.stringContaining('all replication slots are in use') as unknown,
  });
  await world.db1.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'filler%'`);
  // A new session follows the previous one, whatever ended that.
  await world.db1.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'subscription-sync-sync'`);
  await write(100);
  await expectEqualDatabases(world);
  await slotIsRead(world);
});

test.each(['stop', 'kill'] as const)('no change is lost when DB1 restarts (%s) while others write', async (how) => {
  let going = true;
  let done = 0;
  const writing = (async (): Promise<void> => {
    while (going) {
      await write(20).then(
        () => (done += 1),
        () => undefined,
      );
      await delay(PAUSE_MS);
    }
  })();
  const writes = (more: number): Promise<unknown> => {
    const target = done + more;
    return eventually(() => done >= target);
  };
  await writes(20);
  await parts[how]('db1');
  await parts.restart('db1');
  await writes(20);
  going = false;
  await writing;
  await expectEqualDatabases(world);
  await slotIsRead(world);
});

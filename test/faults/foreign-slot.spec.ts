import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { readSettings } from '#config';
import { type RunningServer, startServer } from '../../apps/server/src/bootstrap.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, problemOf, readinessOf } from '../harness/eventually.js';
import { slotIsRead, World } from '../harness/world.js';
import { runOn } from '../harness/addresses.js';

let world: World;
let server: RunningServer | undefined;
let reader: Client | undefined;

beforeEach(async () => {
  world = await World.create();
});
afterEach(async () => {
  await server?.stop();
  await reader?.end();
  server = reader = undefined;
  // Slots of the world's own database are dropped with it, also a slot that is still being created.
  await runOn(
    world.addresses.db1,
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
     WHERE slot_name = '${world.name}' AND database IS DISTINCT FROM '${world.name}'`,
  );
  await world.close();
});

async function start(capture: 'auto' | 'wal'): Promise<string> {
  await server?.stop();
  server = await startServer(readSettings({ ...world.environment(), CAPTURE: capture }));
  return server.url;
}

async function write(name: string): Promise<void> {
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT '${name}' || i || '@example.com' FROM generate_series(1, 200) i`);
}

async function slot(): Promise<{ plugin: string | null; active: boolean } | undefined> {
  const { rows } = await world.db1.query<{ plugin: string | null; active: boolean }>(
    'SELECT plugin, active FROM pg_replication_slots WHERE slot_name = $1',
    [world.name],
  );
  return rows[0];
}

/** Another program that reads the slot with the service's name. */
async function read(): Promise<void> {
  const replication = { replication: 'database', application_name: 'etl' } as object;
  reader = new Client({ ...world.addresses.db1, database: world.name, ...replication });
  await reader.connect();
  // The stream never ends by itself.
  reader
    .query(`START_REPLICATION SLOT "${world.name}" LOGICAL 0/0 (proto_version '1', publication_names 'subscription_sync')`)
    .catch(() => undefined);
  await eventually(async () => (await slot())?.active);
}

/** Ways in which the slot with the service's name belongs to another program. */
const CASES: [string, string, () => Promise<void>][] = [
  ['physical', 'physical', () => runOn(world.addresses.db1, `SELECT pg_create_physical_replication_slot('${world.name}')`)],
  [
    'of another database',
    'belongs to database postgres',
    () => runOn(world.addresses.db1, `SELECT pg_create_logical_replication_slot('${world.name}', 'pgoutput')`),
  ],
  [
    'of another plugin',
    'its plugin is test_decoding',
    async () => {
      await world.db1.query(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [world.name]);
    },
  ],
  [
    'read by another program',
    'etl (pid',
    async () => {
      await world.db1.query(`CREATE PUBLICATION subscription_sync FOR TABLE subscription_sync.changes WITH (publish = 'insert')`);
      await world.db1.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [world.name]);
      await read();
    },
  ],
];

test.each(CASES)(
  "a slot with the service's name that another program owns (%s) is left alone: auto continues by poll and reports why",
  async (_, why, make) => {
    await make();
    const before = await slot();
    const url = await start('auto');
    await write('a');
    await expectEqualDatabases(world);
    expect((await readinessOf(url)).checks['sync']).toMatchObject({ capture: 'poll', note: expect.stringContaining(why) as unknown });
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('subscription_sync_slots_replaced_total{reason="not_ours"} 1');
    expect(await slot()).toEqual(before);
  },
);

test('with CAPTURE=wal a foreign slot is an error that names CAPTURE_SLOT, until it is removed', async () => {
  await runOn(world.addresses.db1, `SELECT pg_create_physical_replication_slot('${world.name}')`);
  const url = await start('wal');
  await write('a');
  await eventually(async () => (await problemOf(url, 'sync'))?.includes('Set CAPTURE_SLOT to a name of its own'));
  await runOn(world.addresses.db1, `SELECT pg_drop_replication_slot('${world.name}')`);
  await expectEqualDatabases(world);
  expect((await readinessOf(url)).checks['sync']).toMatchObject({ state: 'running', capture: 'wal' });
});

test('a slot that another program has advanced is not trusted', async () => {
  await start('wal');
  await write('a');
  await expectEqualDatabases(world);
  await slotIsRead(world);
  await server!.stop();
  server = undefined;
  await write('b');
  await eventually(async () => (await slot())?.active === false);
  await world.db1.query('SELECT pg_replication_slot_advance($1, pg_current_wal_insert_lsn())', [world.name]);
  const url = await start('wal');
  await expectEqualDatabases(world);
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('subscription_sync_slots_replaced_total{reason="advanced"} 1');
});

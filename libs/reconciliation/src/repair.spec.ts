import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { DEFAULT_MAPPING, DEFAULT_TIMINGS } from '#config';
import { db1ConnectionOptions, db2ConnectionOptions } from '#postgres';
import { eventually } from '../../../test/harness/eventually.js';
import { World } from '../../../test/harness/world.js';
import type { Difference } from './recheck-rows.js';
import { repair, type RepairDependencies } from './repair.js';
import { describeTables } from './row-fingerprint.js';

let world: World;
let parts: RepairDependencies;

beforeAll(async () => {
  world = await World.create();
  const at = (part: 'db1' | 'db2') => ({ ...world.addresses[part], database: world.name, poolSize: 2 });
  const db1 = await new DataSource(db1ConnectionOptions(at('db1'))).initialize();
  const db2 = await new DataSource(db2ConnectionOptions(at('db2'))).initialize();
  const tables = await describeTables(db1, db2, DEFAULT_MAPPING);
  parts = { db1, db2, tables, timings: DEFAULT_TIMINGS.reconciliation, signal: new AbortController().signal };
});
afterAll(async () => {
  await Promise.all([parts.db1.destroy(), parts.db2.destroy()]);
  await world.close();
});

function missing(email: string): Difference {
  const facts = { collides: false, inDb1: true, versionInDb1: 1, inDb2: false, versionInDb2: 0, foreign: false, asLogged: true };
  return { ...facts, email, written: email, suspect: email, state: '1' };
}

test('a row that is created and deleted again while a repair waits for another row is not repaired', async () => {
  const [locked, contested] = ['locked@example.com', 'z-contested@example.com'];
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('${locked}', 'active')`);
  const holder = await world.db1.connect();
  const deleting = await world.db1.connect();
  await holder.query('BEGIN; SELECT FROM subscriptions FOR UPDATE');
  const repaired = repair(parts, [missing(locked), missing(contested)], 'requested');
  await eventually(async () => {
    const waiting = await world.db1.query(`SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`, [world.name]);
    return waiting.rowCount === 1;
  });
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('${contested}', 'active')`);
  await deleting.query(`BEGIN; DELETE FROM subscriptions WHERE email = '${contested}'`);
  await holder.query('COMMIT');
  await repaired;
  await deleting.query('COMMIT');
  holder.release();
  deleting.release();
  const { rows } = await world.db1.query('SELECT email, operation FROM subscription_sync.changes ORDER BY version DESC LIMIT 2');
  expect(rows).toEqual([
    { email: locked, operation: 'resynced' },
    { email: contested, operation: 'deleted' },
  ]);
});

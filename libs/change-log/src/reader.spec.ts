import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { World } from '../../../test/harness/world.js';
import { currentSnapshot, readLog } from './reader.js';
import { BEGINNING, type Snapshot } from './snapshot.js';

let world: World;
let client: Client;

beforeEach(async () => {
  world = await World.create();
  client = await connect();
});

afterEach(async () => {
  await client.end();
  await world.close();
});

async function connect(): Promise<Client> {
  const session = new Client({ ...world.addresses.db1, database: world.name });
  await session.connect();
  return session;
}

function now(): Promise<Snapshot> {
  return currentSnapshot(client);
}

async function versionsBetween(from: Snapshot, to: Snapshot): Promise<number[]> {
  const versions: number[] = [];
  for await (const changes of readLog(client, from, to)) versions.push(...changes.map(({ version }) => version));
  return versions;
}

test('yields every committed change exactly once while writers keep transactions open and roll back', async () => {
  let writing = 8;
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    const session = await connect();
    for (let i = 0; i < 60; i += 1) {
      await session.query('BEGIN');
      for (let row = 0; row <= i % 7; row += 1) {
        await session.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET plan = $2`, [
          `w${writer}-${row}@example.com`,
          `p${i}`,
        ]);
        if (row % 3 === writer % 3) await session.query('SELECT pg_sleep(0.004)');
      }
      await session.query(i % 5 === 0 ? 'ROLLBACK' : 'COMMIT');
    }
    await session.end();
    writing -= 1;
  });
  const seen: number[] = [];
  let from = BEGINNING;
  let windowsWithRunning = 0;
  do {
    const to = await now();
    if (to.running.length > 0) windowsWithRunning += 1;
    seen.push(...(await versionsBetween(from, to)));
    from = to;
  } while (writing > 0);
  await Promise.all(writers);
  seen.push(...(await versionsBetween(from, await now())));
  const { rows } = await client.query<{ version: string }>('SELECT version FROM subscription_sync.changes ORDER BY version');
  expect([...seen].sort((a, b) => a - b)).toEqual(rows.map(({ version }) => Number(version)));
  // Otherwise the test would not have covered transactions that are open in a snapshot.
  expect(windowsWithRunning).toBeGreaterThan(5);
});

test('a transaction that stays open delays no other, and is read when it commits', async () => {
  const long = await connect();
  await long.query('BEGIN');
  await long.query(`INSERT INTO subscriptions (email, status) VALUES ('long@example.com', 'active')`);
  await client.query(`INSERT INTO subscriptions (email, status) VALUES ('short@example.com', 'active')`);
  const first = await now();
  expect(await versionsBetween(BEGINNING, first)).toEqual([2]);
  await long.query('COMMIT');
  await long.end();
  expect(await versionsBetween(first, await now())).toEqual([1]);
});

test('a window of many rows is yielded completely, in chunks within the limits', async () => {
  await client.query(
    `INSERT INTO subscriptions (email, status) SELECT 'x' || i || '@example.com', 'active' FROM generate_series(1, 9000) i`,
  );
  await client.query(
    `UPDATE subscriptions SET metadata = jsonb_build_object('big', repeat('x', 900000)) WHERE email IN ('x1@example.com', 'x2@example.com')`,
  );
  const sizes: number[] = [];
  for await (const changes of readLog(client, BEGINNING, await now())) {
    expect(changes.length === 1 || changes.reduce((sum, { event }) => sum + event.length, 0) <= 768 * 1024).toBe(true);
    sizes.push(changes.length);
  }
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(9_002);
});

test('changes that commit after the window are left for the next one', async () => {
  const to = await now();
  await client.query(`INSERT INTO subscriptions (email, status) VALUES ('later@example.com', 'active')`);
  expect(await versionsBetween(BEGINNING, to)).toEqual([]);
});

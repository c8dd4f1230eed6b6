import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { DEFAULT_MAPPING, DEFAULT_TIMINGS, type Settings } from '#config';
import type { PartitionBatch } from '#kafka';
import type { Database } from '#postgres';
import { eventually } from '../../../test/harness/eventually.js';
import { batchOf, changeOf, nextRecord as next, recordOf } from '../../../test/harness/history.js';
import { openDb2 } from '../../../test/harness/replica-state.js';
import { lockWaits, World } from '../../../test/harness/world.js';
import { ApplyChanges } from './apply-changes.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaTable } from './replica-table.js';

let world: World;
let db2: Database;
let registry: Registry;
let changes: ApplyChanges;

beforeAll(async () => {
  world = await World.create();
  db2 = await openDb2(world);
});
beforeEach(() => {
  registry = new Registry();
  changes = new ApplyChanges(
    db2,
    new ReplicaTable(DEFAULT_TIMINGS, { mapping: DEFAULT_MAPPING }),
    new ReplicaMetrics(registry, db2, {} as Settings, DEFAULT_TIMINGS),
    { kafka: undefined },
  );
});
afterAll(async () => {
  await db2.dataSource.destroy();
  await world.close();
});

/** Returns batches of the partitions 0, 1, …, each with changes of these emails. */
function batchesOf(...emails: readonly string[][]): PartitionBatch[] {
  return emails.map((names, partition) =>
    batchOf(
      names.map((name) => next(changeOf(`${name}@example.com`, 1))),
      partition,
    ),
  );
}

/** Returns the transaction that wrote each row, by email without its domain. */
async function transactions(): Promise<Record<string, string>> {
  const { rows } = await world.db2.query<{ name: string; xid: string }>(
    `SELECT split_part(email, '@', 1) AS name, xmin::text AS xid FROM subscriptions`,
  );
  return Object.fromEntries(rows.map(({ name, xid }) => [name, xid]));
}

async function countOf(metric: string): Promise<number> {
  return (await registry.getSingleMetric(metric)!.get()).values[0]!.value;
}

test('small batches of several partitions that arrive together share a transaction, in which each position is stored', async () => {
  await Promise.all(batchesOf(['a', 'b'], ['c'], ['d']).map((batch) => changes.apply(batch)));
  const { a, b, c, d } = await transactions();
  expect(a).toBeDefined();
  expect([b, c, d]).toEqual([a, a, a]);
  const { rows } = await world.db2.query(
    `SELECT p.partition, p.version, p.xmin::text AS xid, count(l.*)::int AS sampled
     FROM subscription_sync.positions p LEFT JOIN subscription_sync.applied_lately l USING (topic, partition)
     GROUP BY 1, 2, 3 ORDER BY 1`,
  );
  expect(rows).toEqual([0, 1, 2].map((partition) => ({ partition, version: 1, xid: a, sampled: 1 })));
  expect(await countOf('subscription_sync_applied_total')).toBe(4);
});

test('large batches and batches that arrive later have transactions of their own', async () => {
  const many = (name: string): string[] => Array.from({ length: 251 }, (_, i) => `${name}${i}`);
  await Promise.all(batchesOf(many('large'), many('huge')).map((batch) => changes.apply(batch)));
  for (const batch of batchesOf(['early'], ['late'])) await changes.apply(batch);
  const { large0, huge0, early, late } = await transactions();
  expect(new Set([large0, huge0, early, late]).size).toBe(4);
});

test('of an email that is in several partitions, the newest change counts', async () => {
  const records = [3, 5, 4].map((version) => next({ ...changeOf('moved@example.com', version), status: `v${version}` }));
  await Promise.all(records.map((record, partition) => changes.apply(batchOf([record], partition))));
  const { rows } = await world.db2.query(`SELECT status FROM subscriptions WHERE email = 'moved@example.com'`);
  expect(rows).toEqual([{ status: 'v5' }]);
  expect(await countOf('subscription_sync_guarded_total')).toBe(2);
});

test('a row that another program has locked delays only the batch of its own partition', async () => {
  await changes.apply(batchesOf(['locked'])[0]!);
  const client = await world.db2.connect();
  await client.query(`BEGIN; SELECT FROM subscriptions WHERE email = 'locked@example.com' FOR UPDATE`);
  const waiting = changes.apply(batchOf([next({ ...changeOf('locked@example.com', 2), operation: 'updated', status: 'paused' })], 0));
  const others = batchesOf(['x'], ['free'], ['gone']).slice(1);
  await Promise.all(others.map((batch) => changes.apply(batch)));
  await eventually(async () => (await lockWaits(world.db2, world.name)).length > 0);
  await client.query('COMMIT');
  client.release();
  await waiting;
  const { rows } = await world.db2.query(`SELECT status FROM subscriptions WHERE email = 'locked@example.com'`);
  expect(rows).toEqual([{ status: 'paused' }]);
});

test('of batches that share a transaction, only a record that DB2 refuses becomes a dead letter', async () => {
  const [left, right] = batchesOf(['left'], ['right']);
  const refused = next({ ...changeOf('refused@example.com', 1), image: { access_until: 'soon' } });
  await Promise.all([left!, right!, batchOf([refused], 2)].map((batch) => changes.apply(batch)));
  expect(Object.keys(await transactions())).toEqual(expect.arrayContaining(['left', 'right']));
  const { rows } = await world.db2.query('SELECT partition, "offset", error_class FROM subscription_sync.dead_letters');
  expect(rows).toEqual([{ partition: 2, offset: Number(refused.offset), error_class: '22007' }]);
});

describe('gaps are counted for each partition of a shared transaction', () => {
  const at = (offset: number, partition: number): PartitionBatch =>
    batchOf([{ ...recordOf(changeOf(`gap${partition}-${offset}@example.com`, offset + 1), offset), timestamp: String(offset) }], partition);

  test.each([
    ['offsets that were skipped', 3, { breaks: 1, missing_from: 1 }],
    ['the next offset', 1, { breaks: 0, missing_from: null }],
  ])('%s', async (_, offset, expected) => {
    await world.db2.query('DELETE FROM subscription_sync.positions');
    await Promise.all([10, 11].map((partition) => changes.apply(at(0, partition))));
    await Promise.all([at(offset, 10), at(1, 11)].map((batch) => changes.apply(batch)));
    const { rows } = await world.db2.query('SELECT "offset", breaks, missing_from FROM subscription_sync.positions ORDER BY partition');
    expect(rows).toEqual([
      { offset, ...expected },
      { offset: 1, breaks: 0, missing_from: null },
    ]);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { DEFAULT_MAPPING, DEFAULT_TIMINGS, type Settings } from '#config';
import { decodeEvent } from '#events';
import type { PartitionBatch } from '#kafka';
import type { Database } from '#postgres';
import { batchOf, changeOf, nextRecord as next, recordOf } from '../../../test/harness/history.js';
import { openDb2, replicaStateOf } from '../../../test/harness/replica-state.js';
import { World } from '../../../test/harness/world.js';
import { ApplyChanges } from './apply-changes.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaTable } from './replica-table.js';

let world: World;
let db2: Database;
let changes: ApplyChanges;

beforeAll(async () => {
  world = await World.create();
  db2 = await openDb2(world);
});
beforeEach(() => {
  changes = newWorker();
});
afterAll(async () => {
  await db2.dataSource.destroy();
  await world.close();
});

function newWorker(): ApplyChanges {
  return new ApplyChanges(
    db2,
    new ReplicaTable(DEFAULT_TIMINGS, { mapping: DEFAULT_MAPPING }),
    new ReplicaMetrics(new Registry(), db2, {} as Settings, DEFAULT_TIMINGS),
    { kafka: undefined },
  );
}

async function statusOf(email: string): Promise<string | undefined> {
  return (await world.db2.query<{ status: string }>('SELECT status FROM subscriptions WHERE email = $1', [email])).rows[0]?.status;
}

async function deadLetters(): Promise<{ offset: string; error_class: string; value: Buffer | null }[]> {
  return (
    await world.db2.query<{ offset: string; error_class: string; value: Buffer | null }>(
      'SELECT * FROM subscription_sync.dead_letters ORDER BY id',
    )
  ).rows;
}

test('a bad record becomes a dead letter with its bytes, once, and its neighbours are applied', async () => {
  const bad = { ...next(changeOf('bad@example.com', 1)), value: Buffer.from('{"no": "event"') };
  const batch = batchOf([next(changeOf('left@example.com', 1)), bad, next(changeOf('right@example.com', 1))]);
  await changes.apply(batch);
  await changes.apply(batch);
  expect(await statusOf('left@example.com')).toBe('active');
  expect(await statusOf('right@example.com')).toBe('active');
  expect((await deadLetters()).filter((letter) => Number(letter.offset) === Number(bad.offset))).toMatchObject([
    { error_class: 'not-json', value: Buffer.from('{"no": "event"') },
  ]);
});

test('of a large batch, only the records that DB2 refuses become dead letters', async () => {
  const many = Array.from({ length: 100 }, (_, i) => next(changeOf(`many${i}@example.com`, 1)));
  const refused = next({ ...changeOf('refused@example.com', 1), image: { access_until: 'soon' } });
  const zero = next({ ...changeOf('zero@example.com', 1), image: { metadata: { a: '\u0000' } } });
  await changes.apply(batchOf([...many.slice(0, 37), refused, ...many.slice(37), zero]));
  const { rows } = await world.db2.query(`SELECT FROM subscriptions WHERE email LIKE 'many%'`);
  expect(rows).toHaveLength(100);
  const letters = (await deadLetters()).filter((letter) => Number(letter.offset) >= Number(refused.offset));
  expect(letters.map(({ error_class }) => error_class).sort()).toEqual(['22007', '22P05']);
  // A version that counted as applied would keep a redrive from applying the record.
  expect(await replicaStateOf(world, 'refused@example.com')).toEqual({ status: null, version: null, deleted: false });
});

test('a row that violates a constraint only at the commit becomes a dead letter, and its neighbours are applied', async () => {
  await world.db2.query(`CREATE TABLE plans (name text PRIMARY KEY); INSERT INTO plans VALUES ('known');
    ALTER TABLE subscriptions ADD CONSTRAINT known_plan FOREIGN KEY (plan) REFERENCES plans DEFERRABLE INITIALLY DEFERRED`);
  const change = (email: string, plan: string): PartitionBatch['messages'][number] => next({ ...changeOf(email, 1), image: { plan } });
  const refused = change('unknown-plan@example.com', 'unknown');
  await changes.apply(batchOf([change('left-plan@example.com', 'known'), refused, change('right-plan@example.com', 'known')]));
  expect(await statusOf('left-plan@example.com')).toBe('active');
  expect(await statusOf('right-plan@example.com')).toBe('active');
  expect((await deadLetters()).filter((letter) => Number(letter.offset) === Number(refused.offset))).toMatchObject([
    { error_class: '23503' },
  ]);
  await world.db2.query(`INSERT INTO plans VALUES ('unknown')`);
  const { key, value } = refused;
  expect(await db2.dataSource.transaction((manager) => changes.applyOne(manager, decodeEvent(key, value)))).toBe(true);
  expect(await statusOf('unknown-plan@example.com')).toBe('active');
  await world.db2.query('ALTER TABLE subscriptions DROP CONSTRAINT known_plan; DROP TABLE plans');
});

test('a deletion that a foreign key forbids becomes a dead letter, and leaves no version behind', async () => {
  const emails = ['referenced@example.com', 'free@example.com'];
  await changes.apply(batchOf(emails.map((email) => next(changeOf(email, 1)))));
  await world.db2.query(`CREATE TABLE orders (email text REFERENCES subscriptions); INSERT INTO orders VALUES ('referenced@example.com')`);
  await changes.apply(batchOf(emails.map((email) => next({ ...changeOf(email, 2), operation: 'deleted' }))));
  expect(await replicaStateOf(world, 'referenced@example.com')).toEqual({ status: 'active', version: 1, deleted: false });
  expect(await replicaStateOf(world, 'free@example.com')).toEqual({ status: null, version: 2, deleted: true });
  await world.db2.query('DROP TABLE orders');
});

test('a deletion needs no values, whatever the columns require', async () => {
  await world.db2.query(
    `CREATE DOMAIN filled AS text NOT NULL CHECK (VALUE <> ''); ALTER TABLE subscriptions ADD COLUMN filled filled DEFAULT 'x'`,
  );
  const worker = newWorker();
  await worker.apply(batchOf([next({ ...changeOf('filled@example.com', 1), image: { filled: 'y' } })]));
  await worker.apply(batchOf([next({ ...changeOf('filled@example.com', 2), operation: 'deleted', image: { filled: 'y' } })]));
  expect(await replicaStateOf(world, 'filled@example.com')).toEqual({ status: null, version: 2, deleted: true });
  await world.db2.query('ALTER TABLE subscriptions DROP COLUMN filled; DROP DOMAIN filled');
});

test('a record whose row has no column of DB2 changes no column', async () => {
  const email = 'bare@example.com';
  await changes.apply(batchOf([next(changeOf(email, 1))]));
  const bare = recordOf(changeOf(email, 2), 0);
  const event = JSON.parse(bare.value!.toString()) as { data: { subscription: object } };
  event.data.subscription = { email, version: 2 };
  await newWorker().apply(batchOf([{ ...bare, value: Buffer.from(JSON.stringify(event)), offset: next(changeOf(email, 2)).offset }]));
  expect(await replicaStateOf(world, email)).toEqual({ status: 'active', version: 2, deleted: false });
});

test('when dead letters can not be stored, nothing is applied, so the offset does not advance', async () => {
  await world.db2.query('ALTER TABLE subscription_sync.dead_letters RENAME TO away');
  const bad = { ...next(changeOf('bad@example.com', 1)), value: null };
  const batch = batchOf([next(changeOf('waits@example.com', 1)), bad]);
  await expect(changes.apply(batch)).rejects.toThrow('subscription_sync.dead_letters');
  expect(await statusOf('waits@example.com')).toBeUndefined();
  await world.db2.query('ALTER TABLE subscription_sync.away RENAME TO dead_letters');
  await changes.apply(batch);
  expect(await statusOf('waits@example.com')).toBe('active');
});

test('the position is stored in the same transaction as the rows', async () => {
  const message = next(changeOf('position@example.com', 7));
  await changes.apply(batchOf([message], 5));
  const { rows } = await world.db2.query(
    `SELECT "offset", version FROM subscription_sync.positions WHERE topic = 'topic' AND partition = 5`,
  );
  expect(rows).toEqual([{ offset: Number(message.offset), version: 7 }]);
});

describe('positions reveal missing records', () => {
  interface Position {
    readonly offset: number;
    readonly breaks: number;
    readonly missing_from: number | null;
  }
  const record = (at: number, timestamp: number): PartitionBatch['messages'][number] => ({
    ...recordOf(changeOf(`p${at}@example.com`, 1_000 + at), at),
    timestamp: String(timestamp),
  });
  const records = (from: number, to: number, timestamp: number): PartitionBatch['messages'] =>
    Array.from({ length: to - from + 1 }, (_, i) => record(from + i, timestamp + i));
  const position = async (): Promise<Position> =>
    (await world.db2.query<Position>('SELECT "offset", breaks, missing_from FROM subscription_sync.positions WHERE partition = 9'))
      .rows[0]!;
  beforeEach(async () => {
    await world.db2.query('DELETE FROM subscription_sync.positions WHERE partition = 9');
    await changes.apply(batchOf(records(0, 9, 5_000), 9));
  });

  test.each<[string, PartitionBatch['messages'], Position]>([
    ['the next records', records(10, 12, 5_020), { offset: 12, breaks: 0, missing_from: null }],
    ['the next records, by a publisher whose clock is behind', records(10, 12, 1_000), { offset: 12, breaks: 0, missing_from: null }],
    ['the same records again', records(0, 9, 5_000), { offset: 9, breaks: 0, missing_from: null }],
    ['some of the same records and the next ones', records(5, 15, 5_005), { offset: 15, breaks: 0, missing_from: null }],
    ["a zombie's old records", records(0, 3, 5_000), { offset: 9, breaks: 0, missing_from: null }],
    ['later records: those in between are missing', records(11, 12, 5_020), { offset: 12, breaks: 1, missing_from: 10 }],
    ['a topic that was created again', records(0, 3, 9_000), { offset: 3, breaks: 1, missing_from: -1 }],
    ['a topic that was created again and is already longer', records(0, 20, 9_000), { offset: 20, breaks: 1, missing_from: -1 }],
  ])('%s', async (_, messages, expected) => {
    await changes.apply(batchOf(messages, 9));
    expect(await position()).toEqual(expected);
  });

  test('a partition whose first records were never read has a gap', async () => {
    await world.db2.query('DELETE FROM subscription_sync.positions WHERE partition = 9');
    await changes.apply(batchOf(records(3, 4, 5_000), 9));
    expect(await position()).toEqual({ offset: 4, breaks: 1, missing_from: 0 });
  });

  test('a dead letter does not count as a gap', async () => {
    const [first, bad, last] = records(10, 12, 5_020);
    await world.db2.query(`ALTER TABLE subscriptions ADD CONSTRAINT no_p11 CHECK (email <> 'p11@example.com') NOT VALID`);
    await changes.apply(batchOf([first!], 9));
    await changes.apply(batchOf([bad!], 9));
    await changes.apply(batchOf([last!], 9));
    expect(await position()).toEqual({ offset: 12, breaks: 0, missing_from: null });
    await world.db2.query('ALTER TABLE subscriptions DROP CONSTRAINT no_p11');
  });
});

test('a column that was added to both databases is replicated; one that DB2 lacks is ignored', async () => {
  await world.db2.query('ALTER TABLE subscriptions ADD COLUMN region text, ADD COLUMN tags text[]');
  await newWorker().apply(batchOf([next({ ...changeOf('wide@example.com', 1), image: { region: 'eu', tags: ['a', 'b'], unknown: 1 } })]));
  const { rows } = await world.db2.query('SELECT region, tags FROM subscriptions WHERE email = $1', ['wide@example.com']);
  expect(rows).toEqual([{ region: 'eu', tags: ['a', 'b'] }]);
});

test('a column that only DB2 has keeps its values as long as the row is there', async () => {
  await world.db2.query(`ALTER TABLE subscriptions ADD COLUMN segment text DEFAULT 'new'`);
  const worker = newWorker();
  const segment = async (): Promise<unknown> =>
    (await world.db2.query<{ segment: unknown }>(`SELECT segment FROM subscriptions WHERE email = 'own@example.com'`)).rows[0]?.segment;
  await worker.apply(batchOf([next(changeOf('own@example.com', 1))]));
  expect(await segment()).toBe('new');
  await world.db2.query(`UPDATE subscriptions SET segment = 'vip' WHERE email = 'own@example.com'`);
  await worker.apply(batchOf([next({ ...changeOf('own@example.com', 2), operation: 'updated', status: 'paused' })]));
  expect(await segment()).toBe('vip');
  await worker.apply(batchOf([next({ ...changeOf('own@example.com', 3), operation: 'deleted' })]));
  expect(await segment()).toBeUndefined();
});

test('after a column is dropped from DB2 while the replica runs, the first batch fails and its retry succeeds', async () => {
  await world.db2.query('ALTER TABLE subscriptions ADD COLUMN short_lived text');
  const worker = newWorker();
  const batch = (version: number): PartitionBatch =>
    batchOf([next({ ...changeOf('drop@example.com', version), image: { short_lived: 'x' } })]);
  await worker.apply(batch(1));
  await world.db2.query('ALTER TABLE subscriptions DROP COLUMN short_lived');
  await expect(worker.apply(batch(2))).rejects.toThrow('short_lived');
  await worker.apply(batch(2));
  expect(await statusOf('drop@example.com')).toBe('active');
});

test('a column that is called like a part of the guard is data', async () => {
  await world.db2.query('ALTER TABLE subscriptions ADD COLUMN version text, ADD COLUMN deleted_at timestamptz');
  const email = 'version@example.com';
  const worker = newWorker();
  await worker.apply(batchOf([next({ ...changeOf(email, 3), image: { version: '3', deleted_at: '2020-01-01T00:00:00Z' } })]));
  const { rows } = await world.db2.query('SELECT status, version, deleted_at FROM subscriptions WHERE email = $1', [email]);
  expect(rows).toEqual([{ status: 'active', version: '3', deleted_at: new Date('2020-01-01T00:00:00Z') }]);
  expect(await replicaStateOf(world, email)).toEqual({ status: 'active', version: 3, deleted: false });
  await world.db2.query('ALTER TABLE subscriptions DROP COLUMN version, DROP COLUMN deleted_at');
});

test('of a deleted row, only the email, the version and the time of the deletion are kept', async () => {
  const email = 'gone@example.com';
  await changes.apply(batchOf([next({ ...changeOf(email, 1), image: { metadata: { phone: '1' } } })]));
  await changes.apply(batchOf([next({ ...changeOf(email, 2), operation: 'deleted', image: { metadata: { phone: '1' } } })]));
  expect((await world.db2.query('SELECT FROM subscriptions WHERE email = $1', [email])).rowCount).toBe(0);
  const { rows } = await world.db2.query('SELECT * FROM subscription_sync.applied WHERE email = $1', [email]);
  const deletedAt = new Date(Date.UTC(2026, 0, 1) + 2);
  expect(rows).toEqual([{ email, version: 2, deleted_at: deletedAt, written: null, renamed: null }]);
});

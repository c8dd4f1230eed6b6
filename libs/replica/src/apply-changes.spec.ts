import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS, type Settings } from '#config';
import type { PartitionBatch } from '#kafka';
import { Database, db2ConnectionOptions } from '#postgres';
import { changeOf, historyArbitrary, lastOf, recordOf, type TestChange } from '../../../test/harness/history.js';
import { World } from '../../../test/harness/world.js';
import { ApplyChanges } from './apply-changes.js';
import { ReplicaMetrics } from './replica-metrics.js';
import { ReplicaTable } from './replica-table.js';

let world: World;
let db2: Database;
let changes: ApplyChanges;
let offset = 0;

beforeAll(async () => {
  world = await World.create();
  db2 = new Database(
    'db2',
    new DataSource(db2ConnectionOptions({ ...world.addresses.db2, database: world.name, poolSize: 6 })),
    DEFAULT_TIMINGS.postgres,
  );
  db2.start();
  await db2.ready;
});
beforeEach(() => {
  changes = newWorker();
});
afterAll(async () => {
  await db2.dataSource.destroy();
  await world.close();
});

function newWorker(): ApplyChanges {
  return new ApplyChanges(db2, new ReplicaTable(DEFAULT_TIMINGS), new ReplicaMetrics(new Registry(), db2, {} as Settings, DEFAULT_TIMINGS));
}

function batchOf(messages: PartitionBatch['messages'], partition = 0): PartitionBatch {
  return { topic: 'topic', partition, messages };
}

function next(change: TestChange): PartitionBatch['messages'][number] {
  offset += 1;
  return recordOf(change, offset);
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

describe('any permutation, duplication and regrouping of histories equals the sorted history', () => {
  test.each([
    ['one worker', false],
    ['two workers on one partition', true],
  ])('%s', async (_, concurrent) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(historyArbitrary, async ({ histories, batches }) => {
        run += 1;
        const unique = (change: TestChange): TestChange => ({ ...change, email: `${concurrent}-${run}-${change.email}` });
        const work = batches.map((batch) => batchOf(batch.map((change) => next(unique(change)))));
        if (concurrent) {
          const zombie = newWorker();
          await Promise.all(work.map((batch, i) => (i % 2 ? zombie : changes).apply(batch)));
        } else {
          for (const batch of work) await changes.apply(batch);
        }
        for (const history of histories) {
          const last = unique(lastOf(history));
          const { rows } = await world.db2.query<{ status: string; version: string }>(
            'SELECT status, version, plan FROM subscriptions WHERE email = $1',
            [last.email],
          );
          expect(rows).toEqual(last.operation === 'deleted' ? [] : [{ status: last.status, version: last.version, plan: null }]);
        }
      }),
      { numRuns: 120 },
    );
  });
});

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
    await world.db2.query(
      `ALTER TABLE replicated_subscriptions ADD CONSTRAINT no_p11 CHECK (email <> 'p11@example.com' OR version <> 1011) NOT VALID`,
    );
    await changes.apply(batchOf([first!], 9));
    await changes.apply(batchOf([bad!], 9));
    await changes.apply(batchOf([last!], 9));
    expect(await position()).toEqual({ offset: 12, breaks: 0, missing_from: null });
    await world.db2.query('ALTER TABLE replicated_subscriptions DROP CONSTRAINT no_p11');
  });
});

test('a column that was added to both databases is replicated; one that DB2 lacks is ignored', async () => {
  await world.db2.query('ALTER TABLE replicated_subscriptions ADD COLUMN region text, ADD COLUMN tags text[]');
  await newWorker().apply(batchOf([next({ ...changeOf('wide@example.com', 1), image: { region: 'eu', tags: ['a', 'b'], unknown: 1 } })]));
  const { rows } = await world.db2.query('SELECT region, tags FROM replicated_subscriptions WHERE email = $1', ['wide@example.com']);
  expect(rows).toEqual([{ region: 'eu', tags: ['a', 'b'] }]);
});

test('a column that only DB2 has keeps its values until the row is deleted', async () => {
  await world.db2.query(`ALTER TABLE replicated_subscriptions ADD COLUMN segment text DEFAULT 'new'`);
  const worker = newWorker();
  const segment = async (): Promise<unknown> =>
    (await world.db2.query<{ segment: unknown }>(`SELECT segment FROM replicated_subscriptions WHERE email = 'own@example.com'`)).rows[0]
      ?.segment;
  await worker.apply(batchOf([next(changeOf('own@example.com', 1))]));
  expect(await segment()).toBe('new');
  await world.db2.query(`UPDATE replicated_subscriptions SET segment = 'vip' WHERE email = 'own@example.com'`);
  await worker.apply(batchOf([next({ ...changeOf('own@example.com', 2), operation: 'updated', status: 'paused' })]));
  expect(await segment()).toBe('vip');
  await worker.apply(batchOf([next({ ...changeOf('own@example.com', 3), operation: 'deleted' })]));
  expect(await segment()).toBeNull();
});

test('after a column is dropped from DB2 while the replica runs, the first batch fails and its retry succeeds', async () => {
  await world.db2.query('ALTER TABLE replicated_subscriptions ADD COLUMN short_lived text');
  const worker = newWorker();
  const batch = (version: number): PartitionBatch =>
    batchOf([next({ ...changeOf('drop@example.com', version), image: { short_lived: 'x' } })]);
  await worker.apply(batch(1));
  await world.db2.query('ALTER TABLE replicated_subscriptions DROP COLUMN short_lived');
  await expect(worker.apply(batch(2))).rejects.toThrow('short_lived');
  await worker.apply(batch(2));
  expect(await statusOf('drop@example.com')).toBe('active');
});

test('a tombstone keeps only the email and the version of its row', async () => {
  await changes.apply(batchOf([next({ ...changeOf('gone@example.com', 1), image: { metadata: { phone: '1' } } })]));
  await changes.apply(batchOf([next({ ...changeOf('gone@example.com', 2), operation: 'deleted', image: { metadata: { phone: '1' } } })]));
  const { rows } = await world.db2.query('SELECT * FROM replicated_subscriptions WHERE email = $1', ['gone@example.com']);
  const row = rows[0] as Record<string, unknown>;
  expect(
    Object.keys(row)
      .filter((column) => row[column] !== null)
      .sort(),
  ).toEqual(['email', 'tombstoned_at', 'version']);
});

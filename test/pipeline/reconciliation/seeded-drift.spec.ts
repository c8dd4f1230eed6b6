import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { disorderIn, expectEqualDatabases } from '../../harness/databases.js';
import { sizeOf } from '../../harness/long-tests.js';
import { keepWriting, Random } from '../../harness/random-operations.js';
import { World } from '../../harness/world.js';
import { call, finished, type Run } from './runs.js';

const SEEDS = sizeOf({ usual: 3, long: 100 });
const WRITERS = 8;
const ROWS = 2_000;

/** Ways in which another program may change rows of DB2, with the cause that the run must report. `$1`: their emails. */
const DRIFTS = {
  deleted: ['missing', 'DELETE FROM subscriptions WHERE email = ANY ($1)'],
  tombstoned: [
    'missing',
    `WITH a AS (UPDATE subscription_sync.applied SET deleted_at = now() WHERE email = ANY ($1)) DELETE FROM subscriptions WHERE email = ANY ($1)`,
  ],
  older: [
    'stale',
    `WITH a AS (UPDATE subscription_sync.applied SET version = version - 1 WHERE email = ANY ($1))
     UPDATE subscriptions SET status = 'older' WHERE email = ANY ($1)`,
  ],
  newer: [
    'foreign',
    `WITH a AS (UPDATE subscription_sync.applied SET version = version + 1000 WHERE email = ANY ($1))
     UPDATE subscriptions SET status = 'newer' WHERE email = ANY ($1)`,
  ],
  status: ['content', `UPDATE subscriptions SET status = 'drifted' WHERE email = ANY ($1)`],
  metadata: ['content', `UPDATE subscriptions SET metadata = '{"drifted": true}' WHERE email = ANY ($1)`],
  microsecond: ['content', `UPDATE subscriptions SET updated_at = updated_at + interval '1 microsecond' WHERE email = ANY ($1)`],
  added: ['extra', `INSERT INTO subscriptions (email, status) SELECT unnest($1::text[]), 'ghost'`],
} as const;

let world: World;
let stop: () => Promise<void>;
const quiet = Array.from({ length: ROWS }, (_, i) => `quiet${String(i).padStart(4, '0')}@example.com`);

beforeAll(async () => {
  world = await World.started();
  await world.db1.query(`INSERT INTO subscriptions (email, status) SELECT unnest($1::text[]), 'active'`, [quiet]);
  await expectEqualDatabases(world);
  stop = keepWriting(world, WRITERS);
});
afterAll(() => world.close());

/** Drifts rows that no writer changes. @returns the differences that a run must find, and no others. */
async function seedDrift(seed: number): Promise<Map<string, string>> {
  const random = new Random(seed);
  const expected = new Map<string, string>();
  const untouched = random.shuffled(quiet);
  for (const [cause, sql] of random.shuffled(Object.values(DRIFTS)).slice(0, 1 + random.below(5))) {
    const some = untouched.splice(0, 1 + random.below(20));
    // The rows of other seeds have left tombstones.
    const emails = cause === 'extra' ? some.map((email) => `${email}.ghost${seed}`) : some;
    await world.db2.query(sql, [emails]);
    for (const email of emails) expected.set(email, cause);
  }
  if (random.chance(0.3)) {
    // A whole range: several consecutive pieces.
    const from = random.below(ROWS / 2);
    const range = quiet.slice(from, from + ROWS / 2).filter((email) => !expected.has(email));
    await world.db2.query('DELETE FROM subscriptions WHERE email = ANY ($1)', [range]);
    for (const email of range) expected.set(email, 'missing');
  }
  return expected;
}

async function reconcile(): Promise<Run> {
  return finished(world, (await call(world, 'POST', 'runs', {})).run.id);
}

async function found(run: number): Promise<Map<string, string>> {
  const { rows } = await world.db1.query<{ email: string; cause: string; state: string }>(
    'SELECT email, cause, state FROM subscription_sync.reconciliation_differences WHERE run = $1',
    [run],
  );
  expect(rows.filter(({ state }) => state !== 'repaired')).toEqual([]);
  return new Map(rows.map(({ email, cause }) => [email, cause]));
}

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))(
  `seed %i: exactly the drifted rows are found with their causes and repaired, beside ${WRITERS} writers`,
  async (seed) => {
    const expected = await seedDrift(seed);
    const { id, outcome } = await reconcile();
    expect([...(await found(id))].sort()).toEqual([...expected].sort());
    expect(outcome).toBe('repaired');
  },
);

test('an empty table is filled again while programs write', async () => {
  await world.db2.query('DELETE FROM subscriptions');
  const { id } = await reconcile();
  const missing = await found(id);
  expect(quiet.filter((email) => missing.get(email) !== 'missing')).toEqual([]);
  expect(new Set(missing.values())).toEqual(new Set(['missing']));
});

test('no newer change was lost', async () => {
  await stop();
  await expectEqualDatabases(world);
  expect((await disorderIn(world.db1)).filter((line) => !line.includes('.ghost'))).toEqual([]);
});

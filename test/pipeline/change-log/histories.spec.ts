import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { PoolClient } from 'pg';
import { disorderIn, expectEqualDatabases } from '../../harness/databases.js';
import { sizeOf } from '../../harness/long-tests.js';
import { Random } from '../../harness/random-operations.js';
import { World } from '../../harness/world.js';

const WRITERS = 12;
const TRANSACTIONS = sizeOf({ usual: 120, long: 1_500 });
const EMAILS = [1, 2, 3, 4, 5, 6].map((n) => `hot${n}@example.com`);
/** Expected errors: duplicate key, deadlock, serialization failure. The transaction was rolled back. */
const EXPECTED = new Set(['23505', '40P01', '40001']);

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

const statements: ((random: Random) => [string, string[]])[] = [
  (random) => ['DELETE FROM subscriptions WHERE email = $1', [random.pick(EMAILS)]],
  (random) => [`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [random.pick(EMAILS)]],
  (random) => [
    'INSERT INTO subscriptions (email, status) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET status = excluded.status',
    [random.pick(EMAILS), `s${random.below(9)}`],
  ],
  (random) => ['UPDATE subscriptions SET email = $2 WHERE email = $1', [random.pick(EMAILS), random.pick(EMAILS)]],
  (random) => ['UPDATE subscriptions SET status = $2 WHERE email = $1', [random.pick(EMAILS), `s${random.below(9)}`]],
];

/** Runs one to three statements, and rolls them back in one of eight cases. */
async function transaction(client: PoolClient, random: Random): Promise<void> {
  await client.query(random.chance(0.2) ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN');
  try {
    for (let i = random.below(3); i >= 0; i -= 1) await client.query(...random.pick(statements)(random));
    await client.query(random.chance(0.125) ? 'ROLLBACK' : 'COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    if (!EXPECTED.has(String((error as { code?: unknown }).code))) throw error;
  }
}

test(`every history is in order after ${TRANSACTIONS} transactions by each of ${WRITERS} writers on ${EMAILS.length} emails`, async () => {
  const seed = Date.now() % 1_000_000;
  process.stdout.write(`histories: seed ${seed}\n`);
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      const random = new Random(seed + writer);
      const client = await world.db1.connect();
      for (let i = 0; i < TRANSACTIONS; i += 1) await transaction(client, random);
      client.release();
    }),
  );
  expect(await disorderIn(world.db1)).toEqual([]);
  const { rows } = await world.db1.query<{ count: number }>('SELECT count(*)::int FROM subscription_sync.changes');
  expect(rows[0]!.count).toBeGreaterThan(WRITERS * TRANSACTIONS * 0.3);
  await expectEqualDatabases(world);
});

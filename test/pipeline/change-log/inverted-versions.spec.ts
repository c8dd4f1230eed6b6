import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { PoolClient } from 'pg';
import { eventually } from '../../harness/eventually.js';
import { disorderIn } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

const PROBE = /OR EXISTS \(SELECT FROM subscription_sync.changes c WHERE .* > NEW\.version\)/;
const ISOLATION_RULE = /current_setting\('transaction_isolation'\) IN \('repeatable read', 'serializable'\)/;

/** Statements that take the key x@example.com. */
const TAKE = {
  insert: `INSERT INTO subscriptions (email, status) VALUES ('x@example.com', 'taken')`,
  upsert: `INSERT INTO subscriptions (email, status) VALUES ('x@example.com', 'taken') ON CONFLICT (email) DO UPDATE SET status = 'taken'`,
  rename: `UPDATE subscriptions SET email = 'x@example.com', status = 'taken' WHERE email = 'y@example.com'`,
};

let world: World;
let holder: PoolClient;
let taker: PoolClient;

beforeAll(async () => {
  world = await World.create();
  [holder, taker] = [await world.db1.connect(), await world.db1.connect()];
});
afterEach(() => taker.query('ROLLBACK'));
afterAll(async () => {
  holder.release();
  taker.release();
  await world.close();
});
beforeEach(async () => {
  await holder.query(`
    DELETE FROM subscriptions;
    DELETE FROM subscription_sync.changes;
    INSERT INTO subscriptions (email, status) VALUES ('x@example.com', 'active'), ('y@example.com', 'active')`);
});

/**
 * The taker draws its version, then waits for the holder, which draws higher versions and ends with a deletion. The taker's change
 * comes last, so its version must be the highest.
 */
async function takeBehindADeletion(take: string, isolation: string): Promise<void> {
  const { rows } = await taker.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await taker.query(`BEGIN ISOLATION LEVEL ${isolation}`);
  await taker.query('SELECT FROM subscriptions');
  await holder.query(`BEGIN; DELETE FROM subscriptions WHERE email = 'x@example.com'`);
  const taking = taker.query(take);
  await eventually(async () => {
    const waiting = await world.db1.query(`SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'`, [rows[0]!.pid]);
    return waiting.rowCount === 1;
  });
  await holder.query(`
    INSERT INTO subscriptions (email, status) VALUES ('x@example.com', 'again');
    DELETE FROM subscriptions WHERE email = 'x@example.com';
    COMMIT`);
  await taking;
  await taker.query('COMMIT');
}

const cases = Object.entries(TAKE).flatMap(([way, take]) =>
  ['READ COMMITTED', 'REPEATABLE READ'].map((isolation) => ({ way, take, isolation })),
);

test.each(cases)('a key taken by $way after its deletion gets the highest version, at $isolation', async ({ take, isolation }) => {
  await takeBehindADeletion(take, isolation);
  expect(await disorderIn(world.db1)).toEqual([]);
  const { rows } = await world.db1.query(`SELECT status FROM subscriptions WHERE email = 'x@example.com'`);
  expect(rows).toEqual([{ status: 'taken' }]);
});

describe('without the rules of ADR 2 versions are inverted', () => {
  let source: string;

  beforeAll(async () => {
    const { rows } = await world.db1.query<{ source: string }>(
      `SELECT pg_get_functiondef('subscription_sync.log_change()'::regprocedure) AS source`,
    );
    source = rows[0]!.source;
  });

  async function withoutRule(rule: RegExp, put: string): Promise<void> {
    const changed = source.replace(rule, put);
    expect(changed).not.toBe(source);
    await world.db1.query(changed);
  }

  test.each(cases.filter(({ isolation }) => isolation === 'READ COMMITTED'))('$way without the look-up', async ({ take, isolation }) => {
    await withoutRule(PROBE, '');
    await takeBehindADeletion(take, isolation);
    expect(await disorderIn(world.db1)).not.toEqual([]);
  });

  test.each(cases.filter(({ isolation }) => isolation === 'REPEATABLE READ'))(
    '$way at $isolation without the isolation rule',
    async ({ take, isolation }) => {
      await withoutRule(ISOLATION_RULE, 'false');
      await takeBehindADeletion(take, isolation);
      expect(await disorderIn(world.db1)).not.toEqual([]);
    },
  );
});

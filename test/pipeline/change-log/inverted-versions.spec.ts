import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { PoolClient } from 'pg';
import { eventually } from '../../harness/eventually.js';
import { disorderIn } from '../../harness/databases.js';
import { World } from '../../harness/world.js';

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

describe('when the version is drawn before the row or its key is locked, versions are inverted', () => {
  beforeAll(async () => {
    await world.db1.query(`
      CREATE FUNCTION draw_early() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM set_config('test.drawn', nextval('subscription_sync.version')::text, true);
        RETURN NEW;
      END $$;
      CREATE TRIGGER draw_early BEFORE INSERT OR UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION draw_early()`);
    await replaceIn(
      'append_change(text, text, text, text, boolean, bigint)',
      `coalesce(drawn, nextval('subscription_sync.version'))`,
      () => `coalesce(
        CASE WHEN operation <> 'deleted' THEN nullif(current_setting('test.drawn', true), '')::bigint END, nextval('subscription_sync.version'))`,
    );
  });

  async function replaceIn(name: string, rule: string, by: (rule: string) => string): Promise<void> {
    const { rows } = await world.db1.query<{ source: string }>(
      `SELECT pg_get_functiondef('subscription_sync.${name}'::regprocedure) AS source`,
    );
    const changed = rows[0]!.source.replace(rule, by(rule));
    expect(changed).not.toBe(rows[0]!.source);
    await world.db1.query(changed);
  }

  test.each(cases)('$way at $isolation', async ({ take, isolation }) => {
    await takeBehindADeletion(take, isolation);
    expect(await disorderIn(world.db1)).not.toEqual([]);
  });
});

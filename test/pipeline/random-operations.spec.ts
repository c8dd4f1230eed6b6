import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { sizeOf } from '../harness/long-tests.js';
import { Random, randomOperation } from '../harness/random-operations.js';
import { World } from '../harness/world.js';

/** Number of operations. Both captures read the same log, so fewer operations show that poll applies them in order, too. */
const OPERATIONS = { wal: sizeOf({ usual: 2_500, long: 20_000 }), poll: sizeOf({ usual: 1_000, long: 20_000 }) };
const WRITERS = 8;

/** Records every version that decreases and every forgotten one: what was applied of an email must never be forgotten. */
const AUDIT = `
CREATE TABLE steps_back (email text, before bigint, after bigint);
CREATE FUNCTION audit_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR NEW.version <= OLD.version THEN
    INSERT INTO steps_back VALUES (OLD.email, OLD.version, CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE NEW.version END);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE OR DELETE ON subscription_sync.applied FOR EACH ROW EXECUTE FUNCTION audit_version();`;

/** Returns emails whose last change in the log is a deletion, but which are alive in DB2. */
const LAST_CHANGES = `SELECT DISTINCT ON (email) email, operation FROM subscription_sync.changes ORDER BY email, version DESC`;

describe.each(['wal', 'poll'] as const)('capture by %s', (capture) => {
  let world: World;

  beforeAll(async () => {
    world = await World.started({ capture });
    await world.db2.query(AUDIT);
  });
  afterAll(() => world.close());

  test(`after ${OPERATIONS[capture]} random operations by ${WRITERS} writers the databases are equal, no version went back, and no deleted row is alive`, async () => {
    const seed = Date.now() % 1_000_000;
    process.stdout.write(`random operations by ${capture}: seed ${seed}\n`);
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        const random = new Random(seed + writer);
        const client = await world.db1.connect();
        for (let i = 0; i < OPERATIONS[capture] / WRITERS; i += 1) await randomOperation(world, client, random);
        client.release();
      }),
    );
    await expectEqualDatabases(world);
    const back = await world.db2.query('SELECT * FROM steps_back');
    expect(back.rows).toEqual([]);
    const last = await world.db1.query<{ email: string; operation: string }>(LAST_CHANGES);
    const live = new Set((await world.db2.query<{ email: string }>('SELECT email FROM subscriptions')).rows.map(({ email }) => email));
    expect(last.rows.filter(({ email, operation }) => (operation === 'deleted') === live.has(email))).toEqual([]);
    expect(last.rows.length).toBeGreaterThan(100);
  }, 180_000);
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { snapshotOf } from '../harness/definition.js';
import { eventually, problemOf } from '../harness/eventually.js';
import { World } from '../harness/world.js';
import { finished, requested } from './reconciliation/runs.js';
import { fillTopic, load, type OldChange, oldChanges } from './version-0.1/fixture.js';

let world: World;

beforeEach(async () => {
  // The retention is so long that no month of the fixture is dropped, whenever the test runs.
  world = await World.create({ unmigrated: true, env: { KAFKA_PARTITIONS: '6', LOG_RETENTION_DAYS: '36500' } });
});
afterEach(() => world.close());

async function upgrade(): Promise<void> {
  await world.start();
  await world.ready();
}

async function get<T>(path: string, headers: Record<string, string> = {}): Promise<T> {
  const response = await fetch(`${world.url}${path}`, { headers });
  expect([path, response.status]).toEqual([path, 200]);
  return (await response.json()) as T;
}

const rowsOf = async <Row extends object>(pool: World['db1'], sql: string): Promise<Row[]> => (await pool.query<Row>(sql)).rows;

describe('the tables that version 0.1 created', () => {
  beforeEach(() => load(world, 'created'));

  test('are upgraded with their data, and replication continues where it was', async () => {
    const before = await oldChanges(world);
    const versions = await rowsOf<{ email: string; version: number }>(world.db1, 'SELECT email, version::int FROM subscriptions');
    const pruned = { ...before.find(({ email }) => email === 'keyed@example.com')!, version: 19, email: 'pruned@example.com' };
    const event = pruned.event.replaceAll('keyed@example.com', pruned.email).replace('"id":"20"', '"id":"19"');
    await fillTopic(
      world,
      [...before, { ...pruned, event }].sort((a, b) => a.version - b.version),
    );
    // Keys are kept for 24 hours.
    await world.db1.query('UPDATE idempotency_keys SET created_at = now()');
    await upgrade();
    await expectEqualDatabases(world);

    // Each change is in the log, with its version; the next one is higher.
    const after = await rowsOf<OldChange & { image: string; previous: string | null }>(
      world.db1,
      'SELECT version::int, operation, email, image, previous FROM subscription_sync.changes ORDER BY version',
    );
    expect(after.map(({ version, operation, email, image, previous }) => [version, operation, email, JSON.parse(image), previous])).toEqual(
      before.map((change) => {
        const { data } = JSON.parse(change.event) as { data: { subscription: Record<string, unknown>; previous: object } };
        const { version, ...image } = data.subscription;
        expect(version).toBe(change.version);
        const previous = Object.keys(data.previous).length === 0 ? null : JSON.stringify(data.previous);
        return [change.version, change.operation, change.email, image, previous];
      }),
    );
    const put = await fetch(`${world.url}/subscriptions/person12@example.com`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', prefer: 'wait=30' },
      body: JSON.stringify({ status: 'active', plan: 'new' }),
    });
    expect([put.status, Number(put.headers.get('subscription-version'))]).toEqual([200, before.at(-1)!.version + 1]);

    // The version of each row is known, in both databases.
    const known = await rowsOf<{ email: string; version: number }>(
      world.db1,
      `SELECT email, subscription_sync.newest_version(email)::int AS version FROM subscriptions WHERE email <> 'person12@example.com'`,
    );
    expect(new Set(known)).toEqual(new Set(versions.filter(({ email }) => email !== 'person12@example.com')));
    const applied = await rowsOf<{ email: string; version: number; deleted: boolean }>(
      world.db2,
      'SELECT email, version::int, deleted_at IS NOT NULL AS deleted FROM subscription_sync.applied',
    );
    expect(applied).toEqual(
      expect.arrayContaining([
        ...known.map(({ email, version }) => ({ email, version, deleted: false })),
        { email: 'person6@example.com', version: 18, deleted: true },
        { email: 'person9@example.com', version: 29, deleted: true },
        { email: 'person11@example.com', version: 33, deleted: true },
      ]),
    );

    // No record was skipped, and no row is repaired.
    const run = await requested(world, {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'equal', compared: versions.length });
    expect((await get<{ data: { reason: string }[] }>('/reconciliation/runs')).data.map(({ reason }) => reason)).toEqual([
      'requested',
      'requested',
    ]);
  });

  test('keep history, dead letters, keys and jobs', async () => {
    await world.db1.query('UPDATE idempotency_keys SET created_at = now()');
    await world.db1.query(`INSERT INTO api_keys (id, name, hash, scopes, created_by) VALUES ('open', 'planted', '', '{admin}', 'api')`);
    const [key] = await rowsOf<{ body: string }>(world.db1, 'SELECT body FROM idempotency_keys');
    await upgrade();

    const history = await get<{ data: object[] }>('/subscriptions/person1@example.com/history');
    expect(history.data).toMatchObject([
      {
        version: 24,
        operation: 'updated',
        actor: 'billing',
        reason: 'chargeback',
        origin: 'sql',
        database_user: 'unknown',
        changes: { status: { from: 'canceled', to: 'active' } },
      },
      { version: 13, operation: 'updated', actor: 'api', origin: 'api', changes: { status: { from: 'active', to: 'canceled' } } },
      { version: 1, operation: 'created' },
    ]);
    expect(await rowsOf(world.db1, 'SELECT version::int FROM subscription_sync.changes WHERE transition_violation')).toEqual([
      { version: 24 },
    ]);
    expect((await get<{ data: object[] }>('/dead-letters')).data).toMatchObject([{ id: 1, error_class: 'not-an-event', state: 'open' }]);
    const again = await fetch(`${world.url}/subscriptions/keyed@example.com`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'first-try' },
      body: JSON.stringify({ status: 'active' }),
    });
    expect([again.headers.get('idempotency-replayed'), await again.json()]).toEqual(['true', JSON.parse(key!.body)]);
    const keys = 'SELECT id, name, scopes, length(hash) AS bytes, created_in_open_mode AS open FROM subscription_sync.api_keys ORDER BY id';
    expect(await rowsOf(world.db1, keys)).toEqual([
      { id: 'ea70d09e66d91fe6', name: 'reader', scopes: ['read'], bytes: 32, open: false },
      { id: 'open', name: 'planted', scopes: ['admin'], bytes: 0, open: true },
    ]);
    expect(await rowsOf(world.db1, 'SELECT state, created::int FROM subscription_sync.imports')).toEqual([
      { state: 'finished', created: 3 },
    ]);
    expect(await rowsOf(world.db1, 'SELECT outcome FROM subscription_sync.reconciliation_runs WHERE id = 1')).toEqual([
      { outcome: 'equal' },
    ]);
    expect(await rowsOf(world.db1, 'SELECT version::int, prunings FROM subscription_sync.log_horizon')).toEqual([
      { version: 19, prunings: 1 },
    ]);
  });

  test('become those that this version creates', async () => {
    await upgrade();
    const fresh = await World.create();
    try {
      for (const part of ['db1', 'db2'] as const) expect(await structureOf(world[part])).toEqual(await structureOf(fresh[part]));
    } finally {
      await fresh.close();
    }
  });

  test('a transaction that is open during the upgrade is not lost, nor are those of other programs that do not wait', async () => {
    const open = await world.db1.connect();
    await open.query(`BEGIN; UPDATE subscriptions SET plan = 'late' WHERE email = 'late@example.com'`);
    const upgraded = upgrade();
    await world.waitForLock();
    await world.db1.query(`UPDATE subscriptions SET plan = 'beside' WHERE email = 'person12@example.com'`);
    await open.query('COMMIT');
    open.release();
    await upgraded;
    await expectEqualDatabases(world);
    // Otherwise a comparison would bring them.
    expect(
      await rowsOf(world.db1, `SELECT version::int FROM subscription_sync.changes WHERE version > 33 AND operation = 'updated' ORDER BY 1`),
    ).toEqual([{ version: 34 }, { version: 35 }]);
    expect(await rowsOf(world.db2, `SELECT email FROM subscriptions WHERE plan IN ('late', 'beside') ORDER BY 1`)).toEqual([
      { email: 'late@example.com' },
      { email: 'person12@example.com' },
    ]);
  });

  test('stay as they are while other objects need what would be dropped', async () => {
    await world.db1.query('CREATE VIEW everything AS SELECT * FROM subscriptions');
    await world.db2.query(`
      CREATE VIEW active AS SELECT email FROM subscriptions WHERE status = 'active';
      CREATE TABLE letters (email text REFERENCES replicated_subscriptions);
      INSERT INTO letters VALUES ('person6@example.com'), ('person12@example.com')`);
    const before = [await snapshotOf(world.db1), await snapshotOf(world.db2)];
    await world.start();
    expect(await eventually(() => problemOf(world.url, 'db1'))).toMatch(
      /DB1 cannot be upgraded while other objects use the column version of the table subscriptions, which goes: public\.everything\. Drop them/,
    );
    const problem = await eventually(() => problemOf(world.url, 'db2'));
    expect(problem).toMatch(
      /DB2 cannot be upgraded while other objects use the view subscriptions, which becomes the table: public\.active\. Drop them/,
    );
    const remedy =
      /rows of public\.letters \(1\) refer to subscriptions that DB1 has deleted \(constraint letters_email_fkey\)\. Delete these rows: (DELETE .*)/.exec(
        problem,
      );
    expect([await snapshotOf(world.db1), await snapshotOf(world.db2)]).toEqual(before);

    const other = world.beside({ env: { DB1_STATUS_COLUMN: 'plan' } });
    await other.start();
    expect(await eventually(() => problemOf(other.url, 'db1'))).toMatch(
      /version 0\.1, which is upgraded with its own table only\. Take DB1_TABLE/,
    );
    await other.stop();

    await world.db1.query('DROP VIEW everything');
    await world.db2.query(`DROP VIEW active; ${remedy![1]}`);
    await world.ready();
    expect(await rowsOf(world.db2, 'SELECT email FROM letters')).toEqual([{ email: 'person12@example.com' }]);
  });
});

describe('the tables of an application that version 0.1 adopted', () => {
  beforeEach(() => load(world, 'adopted'));

  test('keep their columns, rows, readers and references', async () => {
    const before = await oldChanges(world);
    await fillTopic(world, before);
    await world.db2.query(`UPDATE replicated_subscriptions SET noted = 'here' WHERE email = 'person1@example.com'`);
    await upgrade();
    await world.db1.query(`UPDATE subscriptions SET price = 99 WHERE email = 'person6@example.com'`);

    const columns = 'email::text, status, name, price::text';
    const expected = await rowsOf(world.db1, `SELECT ${columns} FROM subscriptions ORDER BY email`);
    // A partition is applied independently of the others.
    await eventually(async () => {
      expect(await rowsOf(world.db2, `SELECT ${columns} FROM subscriptions ORDER BY email`)).toEqual(expected);
      return true;
    });
    expect(await rowsOf(world.db2, `SELECT email, noted FROM subscriptions WHERE noted <> 'none' ORDER BY email`)).toEqual([
      { email: 'person1@example.com', noted: 'here' },
      { email: 'person3@example.com', noted: 'mine' },
    ]);
    expect(
      await rowsOf(
        world.db2,
        `SELECT has_table_privilege('pg_monitor', 'subscriptions', 'SELECT') AS reads, confrelid::regclass::text AS referenced
        FROM pg_constraint WHERE conname = 'letters_subscription_fkey'`,
      ),
    ).toEqual([{ reads: true, referenced: 'subscriptions' }]);
    for (const pool of [world.db1, world.db2])
      expect(
        await rowsOf(pool, `SELECT attname FROM pg_attribute WHERE attrelid = 'subscriptions'::regclass AND attname ~ 'version|tombstone'`),
      ).toEqual([]);
    // The text of a json column is kept, with its spaces.
    expect(
      await rowsOf(
        world.db1,
        `SELECT (image::json->'profile')::text AS profile FROM subscription_sync.changes WHERE email = 'new@example.com'`,
      ),
    ).toEqual([{ profile: '{"a" : 1.0, "version":3}' }]);
    const run = await requested(world, {});
    expect(await finished(world, run.id)).toMatchObject({ outcome: 'equal' });
  });

  test('rows that were not recorded yet are, after the upgrade', async () => {
    await world.db1.query(`
      SET session_replication_role = replica;
      INSERT INTO subscriptions (email, name) VALUES ('Waiting@Example.com', 'Waiting');
      RESET session_replication_role`);
    await upgrade();
    const row = `SELECT email, status FROM subscriptions WHERE name = 'Waiting'`;
    expect(await eventually(async () => (await rowsOf(world.db2, row))[0])).toEqual({ email: 'Waiting@Example.com', status: 'active' });
  });

  test("a column of the application's own that is called version stays", async () => {
    await world.db1.query('ALTER TABLE subscriptions ALTER COLUMN version SET DEFAULT 1');
    await upgrade();
    expect(await rowsOf(world.db1, `SELECT version::int FROM subscriptions WHERE email = 'person6@example.com'`)).toEqual([{ version: 6 }]);
    const [change] = await rowsOf<{ image: string }>(world.db1, 'SELECT image FROM subscription_sync.changes WHERE version = 10');
    expect(JSON.parse(change!.image)).toMatchObject({ version: 10 });
  });
});

/** Describes columns, indexes, triggers and functions of the users' table and of the service's schema, apart from the log's months. */
async function structureOf(pool: World['db1']): Promise<unknown[]> {
  return rowsOf(
    pool,
    `WITH relations AS (
      SELECT oid FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'subscription_sync') AND NOT relispartition AND relkind <> 'i' AND relkind <> 'I'
    )
    SELECT concat_ws(' ', c.oid::regclass, c.relkind, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull,
      a.attidentity, CASE WHEN c.relkind <> 'S' THEN pg_get_expr(d.adbin, d.adrelid) END) AS line
    FROM relations JOIN pg_class c USING (oid) LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL SELECT replace(pg_get_indexdef(indexrelid), ' COLLATE "C"', '') FROM pg_index WHERE indrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT concat_ws(' ', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
    UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'subscription_sync')
    ORDER BY 1`,
  );
}

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { changesOf, disorderIn, storyOf } from '../../harness/databases.js';
import { majorVersion } from '../../harness/tested-versions.js';
import { World } from '../../harness/world.js';

/** Deletes a row and creates another one. */
const MERGE = `
MERGE INTO subscriptions s USING (VALUES ('a@example.com'), ('b@example.com')) v(email) ON s.email = v.email
WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (email, status) VALUES (v.email, 'merged')`;
/** The same for versions before 15, which have no MERGE. */
const WITHOUT_MERGE = `
WITH deleted AS (DELETE FROM subscriptions WHERE email = 'a@example.com')
INSERT INTO subscriptions (email, status) VALUES ('b@example.com', 'merged')`;

let world: World;
const sql = (text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }> =>
  world.db1.query(text, values);

beforeAll(async () => {
  world = await World.shared();
});
afterAll(() => world.close());
beforeEach(() => sql('DELETE FROM subscriptions; DELETE FROM subscription_sync.changes'));

const insert = (email: string, status = 'active'): Promise<unknown> =>
  sql('INSERT INTO subscriptions (email, status) VALUES ($1, $2)', [email, status]);

describe('the log of a statement', () => {
  test('has created, updated and deleted changes, each with the whole row and the changed columns', async () => {
    await insert('ada@example.com', 'trialing');
    await sql(`UPDATE subscriptions SET status = 'active', plan = 'pro', metadata = '{"n": 12345678901234567890.10}'`);
    await sql('DELETE FROM subscriptions');
    const [created, updated, deleted] = await changesOf(world.db1);
    expect(created).toMatchObject({ operation: 'created', image: { status: 'trialing', plan: null, metadata: {} }, previous: {} });
    expect(updated).toMatchObject({ operation: 'updated', image: { status: 'active', plan: 'pro' } });
    expect(updated!.previous).toEqual({ status: 'trialing', plan: null, metadata: {} });
    expect(updated!.event).toContain('12345678901234567890.10');
    expect(deleted).toMatchObject({ operation: 'deleted', image: { email: 'ada@example.com', status: 'active' }, previous: {} });
  });

  test('is empty for an update that changes nothing', async () => {
    await insert('ada@example.com');
    const before = await sql('SELECT *, xmin::text FROM subscriptions');
    await sql(`UPDATE subscriptions SET status = 'active', email = email`);
    await sql(
      `INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active') ON CONFLICT (email) DO UPDATE SET status = excluded.status`,
    );
    await sql(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'paused') ON CONFLICT DO NOTHING`);
    const after = await sql('SELECT *, xmin::text FROM subscriptions');
    expect(after.rows[0]).toEqual({ ...before.rows[0], xmin: after.rows[0]!['xmin'] });
    expect(await storyOf(world.db1)).toEqual(['created ada@example.com']);
  });

  test('has two changes for a changed email', async () => {
    await insert('ada@example.com');
    await sql(`UPDATE subscriptions SET email = 'Countess@example.com', status = 'paused'`);
    const [, deleted, created] = await changesOf(world.db1);
    expect([deleted!.operation, created!.operation]).toEqual(['deleted', 'created']);
    expect(deleted!.image).toMatchObject({ email: 'ada@example.com', status: 'active' });
    expect(created).toMatchObject({ email: 'countess@example.com', image: { email: 'Countess@example.com', status: 'paused' } });
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('has the changes of two rows that swap their emails through a third', async () => {
    await insert('a@example.com', 'active');
    await insert('b@example.com', 'paused');
    await sql(`
      BEGIN;
      UPDATE subscriptions SET email = 'swap@example.com' WHERE email = 'a@example.com';
      UPDATE subscriptions SET email = 'a@example.com' WHERE email = 'b@example.com';
      UPDATE subscriptions SET email = 'b@example.com' WHERE email = 'swap@example.com';
      COMMIT`);
    const last = new Map(
      (await changesOf(world.db1)).map(({ email, operation, image }) => [email, `${operation} ${String(image['status'])}`]),
    );
    expect(Object.fromEntries(last)).toEqual({
      'a@example.com': 'created paused',
      'b@example.com': 'created active',
      'swap@example.com': 'deleted active',
    });
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('has the changes of a chain of emails that move up by one in one statement', async () => {
    for (const n of [3, 2, 1]) await insert(`n${n}@example.com`, `was ${n}`);
    await sql(`UPDATE subscriptions SET email = 'n' || substr(email, 2, 1)::int + 1 || '@example.com'`);
    const { rows } = await sql('SELECT email, status FROM subscriptions ORDER BY email');
    expect(rows.map(({ status }) => status)).toEqual(['was 1', 'was 2', 'was 3']);
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('has the effects of upserts, MERGE and COPY', async () => {
    await sql(
      `INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'active') ON CONFLICT (email) DO UPDATE SET status = 'again'`,
    );
    await sql(`INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'x') ON CONFLICT (email) DO UPDATE SET status = 'again'`);
    await sql((await majorVersion(world.db1)) < 15 ? WITHOUT_MERGE : MERGE);
    const { rows } = await sql(`SELECT current_setting('data_directory') || '/rows.txt' AS file`);
    await sql(`COPY (SELECT 'copied' || i || '@example.com', 'active' FROM generate_series(1, 2) i) TO '${String(rows[0]!['file'])}'`);
    await sql(`COPY subscriptions (email, status) FROM '${String(rows[0]!['file'])}'`);
    expect((await storyOf(world.db1)).sort()).toEqual([
      'created a@example.com',
      'created b@example.com',
      'created copied1@example.com',
      'created copied2@example.com',
      'deleted a@example.com',
      'updated a@example.com',
    ]);
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('has no changes that were rolled back, completely or to a savepoint', async () => {
    await sql(`BEGIN; INSERT INTO subscriptions (email) VALUES ('gone@example.com'); ROLLBACK`);
    await sql(`
      BEGIN;
      INSERT INTO subscriptions (email) VALUES ('kept@example.com');
      SAVEPOINT s;
      UPDATE subscriptions SET status = 'no';
      INSERT INTO subscriptions (email) VALUES ('no@example.com');
      ROLLBACK TO s;
      UPDATE subscriptions SET status = 'yes';
      COMMIT`);
    expect(await storyOf(world.db1)).toEqual(['created kept@example.com', 'updated kept@example.com']);
    expect((await changesOf(world.db1)).at(-1)!.previous).toEqual({ status: 'pending' });
  });

  test('has each of many changes of a row in one transaction, in order', async () => {
    await sql(`
      BEGIN;
      INSERT INTO subscriptions (email) VALUES ('a@example.com');
      DELETE FROM subscriptions; INSERT INTO subscriptions (email) VALUES ('a@example.com');
      UPDATE subscriptions SET status = 'active'; DELETE FROM subscriptions;
      COMMIT`);
    expect((await storyOf(world.db1)).map((line) => line.split(' ')[0])).toEqual(['created', 'deleted', 'created', 'updated', 'deleted']);
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('has any status, in any case', async () => {
    await insert('ada@example.com', 'on "holiday"\\ \u{1F3D6} \n');
    expect((await changesOf(world.db1))[0]!.image['status']).toBe('on "holiday"\\ \u{1F3D6} \n');
  });

  test('is the deletion of each row when a program truncates the table', async () => {
    await insert('ada@example.com');
    await insert('bob@example.com');
    await sql('TRUNCATE subscriptions');
    expect((await storyOf(world.db1)).slice(2).sort()).toEqual(['deleted ada@example.com', 'deleted bob@example.com']);
    expect(await disorderIn(world.db1)).toEqual([]);
  });

  test('is recorded in a session that applies the changes of another server', async () => {
    await sql(
      `SET session_replication_role = replica; INSERT INTO subscriptions (email) VALUES ('ada@example.com'); RESET session_replication_role`,
    );
    await sql(`SET session_replication_role = replica; UPDATE subscriptions SET status = 'active'; RESET session_replication_role`);
    await sql('SET session_replication_role = replica; DELETE FROM subscriptions; RESET session_replication_role');
    expect(await storyOf(world.db1)).toEqual(['created ada@example.com', 'updated ada@example.com', 'deleted ada@example.com']);
  });
});

describe('times', () => {
  test.each(['America/New_York', 'Asia/Kolkata'])('the event has UTC times in ISO format, also from a session in %s', async (zone) => {
    await sql(`
      BEGIN; SET LOCAL timezone = '${zone}'; SET LOCAL datestyle = 'German'; SET LOCAL extra_float_digits = -15; SET LOCAL bytea_output = 'escape';
      INSERT INTO subscriptions (email, access_until) VALUES ('ada@example.com', '2027-01-31 00:00:00.123456+00');
      UPDATE subscriptions SET access_until = access_until + interval '1 day'; COMMIT`);
    const [, updated] = await changesOf(world.db1);
    expect(updated!.image['access_until']).toBe('2027-02-01T00:00:00.123456+00:00');
    expect(updated!.previous).toEqual({ access_until: '2027-01-31T00:00:00.123456+00:00' });
  });

  test.each(['infinity', '-infinity', '4713-01-01 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00'])(
    'access_until %s is replicated as PostgreSQL prints it',
    async (time) => {
      await sql(`INSERT INTO subscriptions (email, access_until) VALUES ('ada@example.com', $1)`, [time]);
      const image = (await changesOf(world.db1))[0]!.image;
      const { rows } = await sql('SELECT $1::timestamptz = access_until AS same FROM subscriptions', [image['access_until']]);
      expect(rows).toEqual([{ same: true }]);
    },
  );
});

describe('subscription_sync.write returns the stored row with its version', () => {
  const write = async (op: string, email: string, fields: object): Promise<Record<string, unknown>> => {
    const context = { actor: 'api', origin: 'api' };
    const { rows } = await sql('SELECT outcome, version, body FROM subscription_sync.write($1, $2, $3, $4, NULL, NULL)', [
      op,
      email,
      fields,
      context,
    ]);
    return rows[0]!;
  };
  const stored = async (): Promise<unknown> =>
    (await sql('SELECT subscription_sync.newest_version(email) AS version, row_to_json(s)::text AS body FROM subscriptions s')).rows[0];

  test('for create, put, patch and delete', async () => {
    expect(await write('create', ' Ada@Example.com', { status: 'active' })).toEqual({
      outcome: 'created',
      ...((await stored()) as object),
    });
    const put = await write('put', 'ADA@example.com', { status: 'paused', plan: 'pro' });
    expect(put).toEqual({ outcome: 'updated', ...((await stored()) as object) });
    const patched = await write('patch', 'ada@example.com', { plan: null });
    expect(patched).toEqual({ outcome: 'updated', ...((await stored()) as object) });
    expect(JSON.parse(patched['body'] as string)).toMatchObject({ status: 'paused', plan: null });
    expect(await write('delete', 'ada@example.com', {})).toMatchObject({ outcome: 'deleted' });
    expect(await write('patch', 'ada@example.com', { plan: 'x' })).toMatchObject({ outcome: 'missing' });
    expect(await write('delete', 'ada@example.com', {})).toMatchObject({ outcome: 'missing' });
    expect(await write('put', 'ada@example.com', { status: 'paused' })).toMatchObject({ outcome: 'created' });
    const changes = await changesOf(world.db1);
    expect(changes.map(({ operation }) => operation)).toEqual(['created', 'updated', 'updated', 'deleted', 'created']);
    expect(changes.every(({ actor, origin }) => actor === 'api' && origin === 'api')).toBe(true);
  });

  test('also when a trigger of another program changes another row in the same statement', async () => {
    await insert('other@example.com');
    await sql(`
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN UPDATE subscriptions SET plan = NEW.plan WHERE email = 'other@example.com'; RETURN NULL; END $$;
      CREATE TRIGGER touch AFTER UPDATE ON subscriptions FOR EACH ROW WHEN (NEW.email <> 'other@example.com') EXECUTE FUNCTION touch()`);
    try {
      await write('create', 'ada@example.com', { status: 'active' });
      const { version } = await write('patch', 'ada@example.com', { plan: 'touched' });
      const changes = await changesOf(world.db1);
      expect(changes.slice(-2).map(({ email }) => email)).toEqual(['ada@example.com', 'other@example.com']);
      expect(Number(version)).toBe(changes.at(-2)!.version);
    } finally {
      await sql('DROP FUNCTION touch CASCADE');
    }
  });

  test('for a key that is created above READ COMMITTED', async () => {
    const client = await world.db1.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    const { rows } = await client.query<{ version: string }>(
      `SELECT version FROM subscription_sync.write('create', 'a@example.com', '{"status":"x"}', '{}', NULL, NULL)`,
    );
    await client.query('COMMIT');
    client.release();
    expect(Number(rows[0]!.version)).toBe((await changesOf(world.db1))[0]!.version);
  });
});

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { changesOf } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

/** Tables that fit, with which something may go wrong. */
const TABLE = `
CREATE TABLE subscriptions (email text PRIMARY KEY, status text NOT NULL, plan text);
CREATE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE subscriptions SET plan = 'of ' || NEW.status WHERE email = NEW.email; RETURN NULL; END $$`;
const EARLY = `CREATE TRIGGER "Derive" AFTER UPDATE ON subscriptions FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION derive()`;

let world: World;

beforeAll(async () => {
  world = await World.create({ unmigrated: true });
  await world.db1.query(`${TABLE}; ${EARLY}`);
  await world.db2.query('CREATE UNLOGGED TABLE subscriptions (email text PRIMARY KEY, status text NOT NULL, plan text)');
  await world.start();
  await world.ready();
});
afterAll(() => world.close());

async function rowsOf(database: World['db1']): Promise<unknown[]> {
  return (await database.query<object>('SELECT * FROM subscriptions ORDER BY email COLLATE "C"')).rows;
}

async function expectEqualRows(): Promise<void> {
  await eventually(async () => {
    expect(await rowsOf(world.db2)).toEqual(await rowsOf(world.db1));
    return true;
  });
}

/** Rows whose emails start so are written by triggers of the program, and none of them may need a repair. */
async function expectRecorded(prefix: string, rows: readonly object[]): Promise<void> {
  await expectEqualRows();
  const { differing } = await finished(world, (await requested(world, {})).id);
  expect(differing).toBe(0);
  const written = (await rowsOf(world.db2)) as { email: string }[];
  expect(written.filter(({ email }) => email.startsWith(prefix))).toEqual(rows);
}

describe('the last state of a row is recorded last when a trigger of the program', () => {
  test('writes the row again before the service has recorded it', async () => {
    const email = 'early@example.com';
    await world.db1.query(`INSERT INTO subscriptions VALUES ('${email}', 'trial')`);
    await world.db1.query(`UPDATE subscriptions SET status = 'paid' WHERE email = '${email}'`);
    const changes = (await changesOf(world.db1)).filter((change) => change.email === email);
    expect(changes.map(({ image }) => (image as { plan: unknown }).plan)).toEqual([null, 'of paid', 'of paid']);
    await expectRecorded('early', [{ email, status: 'paid', plan: 'of paid' }]);
  });

  test.each([
    ['writes another row of the same statement', `UPDATE subscriptions SET plan = 'of the other' WHERE`, 'of the other'],
    ['deletes and restores another row of the same statement', `DELETE FROM subscriptions WHERE`, 'restored'],
  ])('%s', async (_title, statement, plan) => {
    await world.db1.query(`
      CREATE OR REPLACE FUNCTION pair() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        ${statement} email = translate(NEW.email, '12', '21');
        INSERT INTO subscriptions VALUES (translate(NEW.email, '12', '21'), 'paid', 'restored') ON CONFLICT DO NOTHING;
        RETURN NULL;
      END $$;
      CREATE OR REPLACE TRIGGER zz_pair AFTER UPDATE ON subscriptions FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND NEW.email LIKE 'pair%') EXECUTE FUNCTION pair();
      DROP TRIGGER IF EXISTS "Derive" ON subscriptions;
      DELETE FROM subscriptions WHERE email LIKE 'pair%';
      INSERT INTO subscriptions VALUES ('pair1@example.com', 'trial'), ('pair2@example.com', 'trial')`);
    await world.db1.query(`UPDATE subscriptions SET status = 'paid' WHERE email LIKE 'pair%'`);
    await expectRecorded('pair', [
      { email: 'pair1@example.com', status: 'paid', plan },
      { email: 'pair2@example.com', status: 'paid', plan },
    ]);
  });

  test.each([
    ['deletes another row of the same statement', `UPDATE subscriptions SET status = 'paid'`, ['gone1@example.com']],
    [
      'deletes another row that the same statement gave another email',
      `UPDATE subscriptions SET email = 'a.' || email`,
      ['a.gone1@example.com'],
    ],
    ['restores a row that the same statement has deleted', 'DELETE FROM subscriptions', ['gone1@example.com', 'gone2@example.com']],
  ])('%s', async (_title, statement, left) => {
    await world.db1.query(`
      CREATE OR REPLACE FUNCTION leave_one() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'DELETE' THEN
          INSERT INTO subscriptions VALUES ('gone1@example.com', 'paid'), ('gone2@example.com', 'paid') ON CONFLICT DO NOTHING;
        ELSE
          DELETE FROM subscriptions WHERE email LIKE '%gone2%';
        END IF;
        RETURN NULL;
      END $$;
      CREATE OR REPLACE TRIGGER "A leave one" AFTER UPDATE OR DELETE ON subscriptions FOR EACH ROW
        WHEN (pg_trigger_depth() = 0 AND current_setting('test.leave', true) = 'on') EXECUTE FUNCTION leave_one();
      DELETE FROM subscriptions WHERE email LIKE '%gone%';
      INSERT INTO subscriptions VALUES ('gone1@example.com', 'trial'), ('gone2@example.com', 'trial')`);
    await world.db1.query(`BEGIN; SET LOCAL test.leave = 'on'; ${statement} WHERE email LIKE 'gone%'; COMMIT`);
    await expectEqualRows();
    const { differing } = await finished(world, (await requested(world, {})).id);
    expect(differing).toBe(0);
    const emails = ((await rowsOf(world.db2)) as { email: string }[]).map(({ email }) => email);
    expect(emails.filter((email) => email.includes('gone'))).toEqual(left);
  });
});

test('an unlogged table is told at the start', async () => {
  expect(await warningsOfStart()).toEqual([expect.stringContaining('DB2.subscriptions is unlogged')]);
});

test('the rows of an unlogged table that a crash has emptied come back with a comparison', async () => {
  await world.db2.query('TRUNCATE subscriptions');
  await finished(world, (await requested(world, {})).id);
  await expectEqualRows();
  expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe((await world.db1.query('SELECT FROM subscriptions')).rowCount);
});

/** Returns the warnings of tables that a process logs when it starts. */
async function warningsOfStart(): Promise<string[]> {
  const server = await ServerProcess.start({ ...world.environment(['api']), LOG_LEVEL: 'warn' });
  await server.signal('SIGTERM');
  const lines = server.output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as { msg: string }] : []));
  return lines
    .map(({ msg }) => msg)
    .filter((line) => line.includes('unlogged'))
    .sort();
}

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { changesOf } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

/** Tables that fit, with which something may go wrong. */
const TABLE = `
CREATE TABLE subscriptions (email text PRIMARY KEY, status text NOT NULL, plan text) PARTITION BY HASH (email);
CREATE TABLE half PARTITION OF subscriptions FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE other_half PARTITION OF subscriptions FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE FUNCTION derive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE subscriptions SET plan = 'of ' || NEW.status WHERE email = NEW.email; RETURN NULL; END $$`;
const trigger = (name: string, when: string, table = 'subscriptions'): string =>
  `CREATE TRIGGER "${name}" ${when} ON ${table} FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION derive()`;
const HARMLESS = [
  'CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
  'CREATE TRIGGER "A before" BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION nothing()',
  'CREATE TRIGGER "A statement" AFTER UPDATE ON subscriptions EXECUTE FUNCTION nothing()',
  'CREATE CONSTRAINT TRIGGER "A deferred" AFTER UPDATE ON half DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing()',
  'CREATE TRIGGER late AFTER UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION nothing()',
];

let world: World;

beforeAll(async () => {
  world = await World.create({ unmigrated: true });
  await world.db1.query([TABLE, trigger('Derive', 'AFTER UPDATE'), trigger('a half', 'AFTER INSERT', 'half'), ...HARMLESS].join(';\n'));
  await world.db1.query('ALTER TABLE half DISABLE TRIGGER "a half"');
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

async function changeStatus(email: string): Promise<void> {
  await world.db1.query('INSERT INTO subscriptions VALUES ($1, $2)', [email, 'trial']);
  await world.db1.query('UPDATE subscriptions SET status = $2 WHERE email = $1', [email, 'paid']);
}

test('a trigger that fires before those of the service and writes the row again is a difference, which a comparison repairs', async () => {
  const email = 'early@example.com';
  await changeStatus(email);
  const images = (await changesOf(world.db1))
    .filter((change) => change.email === email)
    .map(({ image }) => (image as { plan: unknown }).plan);
  expect(images).toEqual([null, 'of paid', null]);
  const { differing, repaired } = await finished(world, (await requested(world, {})).id);
  expect({ differing, repaired }).toEqual({ differing: 1, repaired: 1 });
  await expectEqualRows();
  expect(await rowsOf(world.db2)).toContainEqual({ email, status: 'paid', plan: 'of paid' });
});

test('it is told at the start with a statement after which the order is right', async () => {
  const warnings = await warningsOfStart();
  expect(warnings).toEqual([
    expect.stringContaining('DB2.subscriptions is unlogged'),
    expect.stringContaining('The trigger Derive of DB1.subscriptions fires before those of the service'),
  ]);
  await world.db1.query(/ALTER TRIGGER .*/.exec(warnings[1]!)![0]);
  await world.db1.query('ALTER TABLE half ENABLE TRIGGER "a half"');
  expect((await warningsOfStart()).filter((line) => line.includes('trigger'))).toEqual([
    expect.stringMatching('The trigger a half of .* ALTER TRIGGER "a half" ON public.half RENAME TO "zz_a half"$'),
  ]);
  const email = 'late@example.com';
  await changeStatus(email);
  await expectEqualRows();
  expect(await rowsOf(world.db2)).toContainEqual({ email, status: 'paid', plan: 'of paid' });
});

test('a trigger that writes another row of the same statement is a difference, too, whatever its name is', async () => {
  await world.db1.query(`
    CREATE FUNCTION pair() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE subscriptions SET plan = 'of the other' WHERE email LIKE 'pair%' AND email <> NEW.email; RETURN NULL; END $$;
    CREATE TRIGGER zz_pair AFTER UPDATE ON subscriptions FOR EACH ROW WHEN (pg_trigger_depth() = 0 AND NEW.email LIKE 'pair%') EXECUTE FUNCTION pair();
    DROP TRIGGER "zz_Derive" ON subscriptions;
    INSERT INTO subscriptions VALUES ('pair1@example.com', 'trial'), ('pair2@example.com', 'trial')`);
  await world.db1.query(`UPDATE subscriptions SET status = 'paid' WHERE email LIKE 'pair%'`);
  const { differing, repaired } = await finished(world, (await requested(world, {})).id);
  expect({ differing, repaired }).toEqual({ differing: 1, repaired: 1 });
  await expectEqualRows();
  expect((await rowsOf(world.db2)).filter((row) => (row as { plan: string }).plan === 'of the other')).toHaveLength(2);
});

test('the rows of an unlogged table that a crash has emptied come back with a comparison', async () => {
  await world.db2.query('TRUNCATE subscriptions');
  await finished(world, (await requested(world, {})).id);
  await expectEqualRows();
  expect((await world.db2.query('SELECT FROM subscriptions')).rowCount).toBe(4);
});

/** Returns the warnings of tables that a process logs when it starts. */
async function warningsOfStart(): Promise<string[]> {
  const server = await ServerProcess.start({ ...world.environment(['api']), LOG_LEVEL: 'warn' });
  await server.signal('SIGTERM');
  const lines = server.output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as { msg: string }] : []));
  return lines
    .map(({ msg }) => msg)
    .filter((line) => /unlogged|trigger/.test(line))
    .sort();
}

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Pool } from 'pg';
import { readRemovalSettings } from '#config';
import { purge } from '#sync';
import { callCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { definitionOf, snapshotOf } from '../harness/definition.js';
import { readinessOf } from '../harness/eventually.js';
import { dumpSchema } from '../harness/pg-dump.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { slotIsRead, World } from '../harness/world.js';

const PURGE = ['decommission', '--purge'];

/** DB1's table with all that the service's own one has, and what another program needs beside it. */
const DB1_TABLE = (role: string): string => `
CREATE ROLE ${role};
CREATE TABLE subscriptions (
  id bigint GENERATED ALWAYS AS IDENTITY,
  email text COLLATE "C" PRIMARY KEY CHECK (email <> ''),
  status text NOT NULL,
  plan text,
  access_until timestamptz,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  metadata jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  note varchar(20)
) WITH (fillfactor = 70);
ALTER TABLE subscriptions ALTER plan SET STORAGE EXTERNAL;
CREATE INDEX subscriptions_by_status ON subscriptions (status, email COLLATE "C");
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE subscriptions DISABLE TRIGGER shout;
CREATE VIEW active AS SELECT * FROM subscriptions WHERE status = 'active';
COMMENT ON TABLE subscriptions IS 'who may do what';
GRANT SELECT, INSERT ON subscriptions TO ${role};
INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active')`;

/** DB2's table with keys, rules, readers and dependants of its own, and a column that is required and has no default. */
const DB2_TABLE = (role: string): string => `
CREATE ROLE ${role};
CREATE SCHEMA crm;
CREATE TYPE crm.level AS ENUM ('low', 'high');
CREATE TABLE plans (name text PRIMARY KEY);
INSERT INTO plans VALUES ('free'), ('pro');
CREATE TABLE subscriptions (
  id serial PRIMARY KEY,
  email varchar(100) NOT NULL CONSTRAINT one_each UNIQUE,
  status text NOT NULL,
  plan text REFERENCES plans,
  access_until timestamptz,
  cancel_at_period_end boolean NOT NULL,
  metadata jsonb,
  created_at timestamptz,
  updated_at timestamptz,
  level crm.level
);
CREATE TABLE seats (subscription int REFERENCES subscriptions ON DELETE CASCADE, holder text);
CREATE VIEW active AS SELECT id, email FROM subscriptions WHERE status = 'active';
ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON subscriptions TO ${role} USING (true);
COMMENT ON COLUMN subscriptions.level IS 'of support';
GRANT SELECT ON subscriptions, active TO ${role}`;

const SETTINGS = (database: string): string =>
  `COMMENT ON DATABASE ${database} IS 'theirs'; ALTER DATABASE ${database} SET work_mem = '8MB'; CREATE PUBLICATION theirs FOR ALL TABLES WITH (publish = 'delete')`;

let world: World;

afterEach(() => world.close());

function poolsOf({ db1, db2 }: World): readonly Pool[] {
  return [db1, db2];
}

const snapshots = (): Promise<string[][]> => Promise.all(poolsOf(world).map(snapshotOf));

async function started(): Promise<void> {
  await world.start();
  await world.ready();
}

const dumps = (): Promise<(string | undefined)[]> =>
  Promise.all((['db1', 'db2'] as const).map((part) => dumpSchema(world[part], world.addresses[part], world.name)));

/** Returns the lines that `after` has and `before` has not, and the other way round. */
function difference(before: readonly string[], after: readonly string[]): { added: string[]; removed: string[] } {
  return { added: after.filter((line) => !before.includes(line)), removed: before.filter((line) => !after.includes(line)) };
}

/** The purge without the command, with a timeout that a test can wait for. */
function purgeSoon(timeoutMs = 1_000): ReturnType<typeof purge> {
  const timings = { ...TEST_TIMINGS, sync: { ...TEST_TIMINGS.sync, decommissionTimeoutMs: timeoutMs } };
  return purge(readRemovalSettings(world.environment()), { onFound: () => undefined }, timings);
}

describe('databases with tables of their own', () => {
  let role: string;

  beforeEach(async () => {
    world = await World.create({ unmigrated: true });
    role = `reader_${world.name}`;
    await Promise.all([
      world.db1.query(DB1_TABLE(`${role}_1`) + `;${SETTINGS(world.name)}`),
      world.db2.query(DB2_TABLE(`${role}_2`) + `;${SETTINGS(world.name)}`),
    ]);
  });
  afterEach(async () => {
    await world.stop();
    await Promise.all(poolsOf(world).map((pool, i) => pool.query(`DROP OWNED BY ${role}_${i + 1}; DROP ROLE ${role}_${i + 1}`)));
  });

  async function replicate(name: string): Promise<void> {
    await world.db1.query(`INSERT INTO subscriptions (email, status, plan) VALUES ('${name}@example.com', 'active', 'pro')`);
    await world.db1.query(`UPDATE subscriptions SET plan = 'free'`);
    await expectEqualDatabases(world);
  }

  test('are exactly as before after a purge, and can be used again', async () => {
    const before = await snapshots();
    const dumped = await dumps();
    await started();
    await slotIsRead(world);
    await replicate('eve');

    const running = await Promise.all(poolsOf(world).map(definitionOf));
    const [inDb1, inDb2] = running.map((lines, i) => difference(before[i]!, lines));
    expect(inDb2).toEqual({ added: [], removed: [] });
    expect(inDb1!.removed).toEqual([]);
    expect(inDb1!.added.length).toBeGreaterThan(0);
    const own =
      /^\{"\?column\?":"(?:trigger",.* EXECUTE FUNCTION subscription_sync\.|publication",.*"subscription_sync"|published table",)/;
    expect(inDb1!.added.filter((line) => !own.test(line))).toEqual([]);
    await world.stop();

    const result = await callCli(PURGE, world.environment());
    expect(result).toMatchObject({ code: 0, stderr: '' });
    for (const line of [
      /Database 1 \S+ on \S+\n {2}will be lost: the change log with the history .* \(\d+ tables, \d+ kB\)\n/,
      /Database 2 \S+ on \S+\n {2}will be lost: .*dead letters \(8 tables, \d+ kB\)\n/,
      new RegExp(`\n {4}replication slot ${world.name}\n {4}publication subscription_sync\n`),
      /\n {4}trigger aa_subscription_sync_insert on public\.subscriptions\n/,
      /\n {4}table subscription_sync\.changes\n/,
      /\n {4}table subscription_sync\.dead_letters\n/,
      /\n {4}schema subscription_sync\n/,
      /Your tables are kept with all their rows/,
    ]) {
      expect(result.stdout).toMatch(line);
    }
    expect(await snapshots()).toEqual(before);
    expect(await dumps()).toEqual(dumped);
    const slots = await world.db1.query('SELECT FROM pg_replication_slots WHERE database = $1', [world.name]);
    expect(slots.rowCount).toBe(0);

    const again = await callCli(PURGE, world.environment());
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout.match(/dropped: nothing, because nothing of the service was there/g)).toHaveLength(2);
    expect(again.stdout).not.toContain('will be lost');

    await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('meanwhile@example.com', 'active')`);
    await started();
    await replicate('bob');
  });
});

test('tables that the service has created are kept with their rows', async () => {
  world = await World.started();
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
  await expectEqualDatabases(world);
  await world.stop();
  await purgeSoon();
  for (const pool of poolsOf(world)) {
    expect((await pool.query('SELECT email FROM subscriptions')).rows).toEqual([{ email: 'ada@example.com' }]);
    expect((await snapshotOf(pool)).filter((line) => line.includes('subscription_sync'))).toEqual([]);
  }
});

test('a purge is refused while a process is connected to either database', async () => {
  world = await World.create();
  const before = await snapshots();
  const running = [
    [['api', 'sync'], /^db1: A sync process still captures this database: stop it first/],
    [['api'], /^db1: The service is still connected to this database, by pid \d+ \(subscription-sync\).*: stop all its processes first/],
    [['replica'], /^db2: The service is still connected to this database, by pid \d+ \(subscription-sync\)/],
  ] as const;
  for (const [roles, problem] of running) {
    const servers = await world.startBeside({ servers: [roles] });
    try {
      // A pool closes connections that are idle for 10 s.
      await readinessOf(servers.url);
      await expect(purgeSoon()).rejects.toThrow(problem);
    } finally {
      await servers.stop();
    }
  }
  const withoutPublication = (lines: string[]): string[] => lines.filter((line) => !/"publi(?:cation|shed table)",/.test(line));
  expect((await snapshots()).map(withoutPublication)).toEqual(before);
});

test('a database that cannot be reached is named, and a second purge finishes', async () => {
  world = await World.create();
  const away = await callCli(PURGE, { ...world.environment(), DB2_PORT: '1' });
  expect(away).toMatchObject({ code: 1, stdout: expect.stringMatching(/Database 1 [^]*schema subscription_sync\n$/) as unknown });
  expect(away.stderr).toMatch(/^Database 2 \S+ on 127\.0\.0\.1:1 was not purged: connect ECONNREFUSED.*\nRun the command again/);
  const unset = await callCli(PURGE, { ...world.environment(), DB2_HOST: '' });
  expect(unset).toMatchObject({ code: 1, stderr: expect.stringContaining('Database 2 was not purged: DB2_HOST is not set') as unknown });
  const second = await callCli(PURGE, world.environment());
  expect(second).toMatchObject({ code: 0, stderr: '' });
  expect(second.stdout).toMatch(/Database 1 .*\n {2}dropped: nothing[^]*Database 2 .*\n {2}dropped:\n {4}[^]*schema subscription_sync\n/);
});

test('a purge that waits for a lock gives up, names the sessions that hold it, and drops all or nothing of the schema', async () => {
  world = await World.create();
  const before = await snapshots();
  const [writer, reader] = [await world.db1.connect(), await world.db2.connect()];
  await writer.query(`BEGIN; INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
  await reader.query('BEGIN; SELECT FROM subscription_sync.dead_letters');
  const failures = (await purgeSoon(1_500)).map(({ name, dropped, failure }) => [name, dropped, failure]);
  const holder = (program: string): unknown =>
    expect.stringMatching(`^A table is locked by pid \\d+ \\(${program}, user postgres, transaction since .*End that transaction`);
  expect(failures).toEqual([
    ['db1', [], holder('other-program')],
    ['db2', [], holder('test')],
  ]);
  expect(await snapshots()).toEqual(before);
  const later = purgeSoon(60_000);
  await world.waitForLock();
  await Promise.all([writer.query('COMMIT'), reader.query('COMMIT')]);
  expect((await later).map(({ failure }) => failure)).toEqual([undefined, undefined]);
  writer.release();
  reader.release();
  expect((await world.db1.query('SELECT email FROM subscriptions')).rowCount).toBe(1);
});

test("another program's object that depends on the service's schema is named, and nothing is dropped", async () => {
  world = await World.create();
  await world.db1.query(`
    CREATE TABLE people (email text CHECK (email = subscription_sync.normalize_email(email)));
    CREATE VIEW history AS SELECT * FROM subscription_sync.changes`);
  await world.db2.query('CREATE TABLE letters (letter bigint REFERENCES subscription_sync.dead_letters)');
  const before = await snapshots();
  expect(await purgeSoon()).toEqual([
    {
      name: 'db1',
      dropped: [],
      failure: expect.stringMatching(
        /^Other objects depend on the schema subscription_sync: constraint people_email_check on table public\.people, rule _RETURN on view public\.history\. Drop/,
      ) as unknown,
    },
    { name: 'db2', dropped: [], failure: expect.stringContaining('constraint letters_letter_fkey on table public.letters') as unknown },
  ]);
  expect(await snapshots()).toEqual(before);
});

test('a schema that an administrator has created for a role that cannot create one is emptied and kept', async () => {
  world = await World.create({ unmigrated: true, capture: 'poll' });
  const role = `modest_${world.name}`;
  const login = { DB1_USER: role, DB1_PASSWORD: 'modest', DB2_USER: role, DB2_PASSWORD: 'modest' };
  const prepare = (grant: string): string =>
    `CREATE ROLE ${role} LOGIN PASSWORD 'modest'; GRANT CREATE ON SCHEMA public TO ${role}; ${grant}`;
  await world.db1.query(prepare(`CREATE SCHEMA subscription_sync AUTHORIZATION ${role}`));
  await world.db2.query(prepare(`CREATE SCHEMA subscription_sync; GRANT ALL ON SCHEMA subscription_sync TO ${role}`));
  try {
    // The tables of the users exist once the service has run, so both are as before from the second purge on.
    const purged: string[][][] = [];
    for (const name of ['ada', 'bob']) {
      const servers = await world.startBeside({ capture: 'poll', env: login });
      try {
        await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('${name}@example.com')`);
        await expectEqualDatabases(world);
      } finally {
        await servers.stop();
      }
      const result = await callCli(PURGE, { ...world.environment(), ...login });
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(result.stdout).not.toMatch(/ {4}schema/);
      purged.push(await snapshots());
    }
    expect(purged[1]).toEqual(purged[0]);
    expect(purged[0]!.map((lines) => lines.filter((line) => line.includes('subscription_sync')))).toEqual([
      [expect.stringContaining('"schema"')],
      [expect.stringContaining('"schema"')],
    ]);
  } finally {
    await world.stop();
    await Promise.all(poolsOf(world).map((pool) => pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)));
  }
});

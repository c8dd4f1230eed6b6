import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { DEFAULT_TABLE, type TableSettings } from '#config';
import { runOn } from '../../../test/harness/addresses.js';
import { World } from '../../../test/harness/world.js';
import { expectFit } from './fit.js';

const TABLE = 'CREATE TABLE subscriptions (email text PRIMARY KEY, status text)';
const SCHEMA = (role: string): string => `CREATE SCHEMA subscription_sync AUTHORIZATION ${role}`;
const OWNED = (role: string): string => `${TABLE}; ALTER TABLE subscriptions OWNER TO ${role}; ${SCHEMA(role)}`;

let world: World;
let role: string;

/** The tests share one database without tables. */
beforeAll(async () => {
  world = await World.create({ unmigrated: true });
});
afterAll(() => world.close());

beforeEach(async () => {
  role = `role_${world.name}`;
  await world.db1.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role'`);
});
afterEach(() =>
  world.db1.query(
    `ALTER DATABASE ${world.name} RESET ALL; DROP OWNED BY ${role}; DROP ROLE ${role}; DROP SCHEMA IF EXISTS subscription_sync, public CASCADE;
     CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC`,
  ),
);

interface As {
  readonly database?: 'DB1' | 'DB2';
  readonly table?: Partial<TableSettings>;
  readonly user?: string;
  readonly name?: string;
}

/** Returns the problems that the check finds, which may only read. */
async function problems({ database = 'DB1', table = {}, user, name = world.name }: As = {}): Promise<string[]> {
  const credentials = user === undefined ? {} : { user, password: 'role' };
  const client = new Client({ ...world.addresses.db1, database: name, ...credentials });
  await client.connect();
  try {
    await client.query('BEGIN READ ONLY');
    const query = async <Row>(sql: string, values?: unknown[]): Promise<Row[]> => (await client.query(sql, values)).rows as Row[];
    await expectFit(query, database, { ...DEFAULT_TABLE, ...table });
    return [];
  } catch (error) {
    return (error as Error).message.split('\n');
  } finally {
    await client.end();
  }
}

describe('a database is fit', () => {
  test.each([
    ['without a table', 'SELECT'],
    ['with a table', TABLE],
    ['with a nullable email', 'CREATE TABLE subscriptions (email varchar(50) UNIQUE, status int)'],
    ['with a partitioned table', `${TABLE} PARTITION BY HASH (email)`],
    ['with a further index that serves no purpose', `${TABLE}; CREATE UNIQUE INDEX ON subscriptions (lower(email))`],
  ])('%s', async (_, sql) => {
    await world.db1.query(sql);
    expect(await problems()).toEqual([]);
    expect(await problems({ database: 'DB2' })).toEqual([]);
  });

  test.each([
    ['a partition', 'PARTITION BY LIST (email)', 'PARTITION OF parent DEFAULT'],
    ['a table that inherits from another one', '', '(PRIMARY KEY (email)) INHERITS (parent)'],
  ])('in Database 2 with %s, whose rows the other table shows', async (_, parent, child) => {
    await world.db1.query(`${TABLE.replace('subscriptions', 'parent')} ${parent}; CREATE TABLE subscriptions ${child}`);
    expect(await problems({ database: 'DB2' })).toEqual([]);
  });

  test('for a role whose schema an administrator has created, which owns the table', async () => {
    await world.db1.query(OWNED(role));
    expect(await problems({ user: role })).toEqual([]);
  });

  test('in Database 2 for a role with privileges on single columns', async () => {
    await world.db1.query(
      `${TABLE}; GRANT SELECT, DELETE, INSERT (email, status), UPDATE (status) ON subscriptions TO ${role}; ${SCHEMA(role)}`,
    );
    expect(await problems({ user: role, database: 'DB2' })).toEqual([]);
  });

  test('for a role to which a policy shows all rows', async () => {
    await world.db1.query(`${OWNED(role)}; ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    const hides = [
      `row-level security hides rows of DB1.subscriptions from the role ${role}, which would not be replicated or compared. ` +
        `ALTER ROLE "${role}" BYPASSRLS, or CREATE POLICY subscription_sync ON public.subscriptions TO "${role}" USING (true)`,
    ];
    expect(await problems({ user: role })).toEqual(hides);
    await world.db1.query(`CREATE POLICY subscription_sync ON public.subscriptions TO "${role}" USING (true)`);
    expect(await problems({ user: role })).toEqual([]);
    await world.db1.query(`CREATE POLICY less ON public.subscriptions AS RESTRICTIVE USING (status <> 'x')`);
    expect(await problems({ user: role })).toEqual(hides);
  });
});

describe('a table is refused in one line, with what to do', () => {
  const INDEX = 'CREATE UNIQUE INDEX CONCURRENTLY ON public.subscriptions ("email")';
  test.each([
    ['without an index', 'CREATE TABLE subscriptions (email text, status text)', `at once. Make it unique, then start again: ${INDEX}`],
    [
      'with a deferrable constraint',
      'CREATE TABLE subscriptions (email text CONSTRAINT one UNIQUE DEFERRABLE, status text)',
      `at once (public.one is deferrable). Make it unique, then start again: ${INDEX}`,
    ],
    [
      'with a partial index and one on an expression',
      `CREATE TABLE subscriptions (email text, status text); CREATE UNIQUE INDEX lower ON subscriptions (lower(email));
       CREATE UNIQUE INDEX part ON subscriptions (email) WHERE status <> ''; CREATE UNIQUE INDEX two ON subscriptions (email, status)`,
      `(public.lower is on an expression, public.part is partial, public.two is on more than this column). Make it unique, then start again: ${INDEX}`,
    ],
    [
      'that is partitioned and has no index',
      `CREATE TABLE subscriptions (email text, status text) PARTITION BY HASH (email)`,
      'CREATE UNIQUE INDEX ON public.subscriptions ("email")',
    ],
    ['that is a view', `CREATE VIEW subscriptions AS SELECT '' AS email`, 'DB1.subscriptions is not a table. Set DB1_TABLE to the table'],
    ['without the status', 'CREATE TABLE subscriptions (email text UNIQUE, state text)', 'Set DB1_STATUS_COLUMN to one of email, state'],
    [
      'without the email',
      'CREATE TABLE subscriptions (address text UNIQUE, status text)',
      'DB1.subscriptions has no column email. Set DB1_KEY_COLUMN to the column of the email, one of address, status',
    ],
    [
      'whose email is a number',
      'CREATE TABLE subscriptions (email int UNIQUE, status text)',
      'column email of DB1.subscriptions is integer',
    ],
    ['that is unlogged', TABLE.replace('TABLE', 'UNLOGGED TABLE'), 'ALTER TABLE public.subscriptions SET LOGGED'],
    [
      'that is a partition',
      `CREATE TABLE parent (email text PRIMARY KEY, status text) PARTITION BY HASH (email);
       CREATE TABLE subscriptions PARTITION OF parent FOR VALUES WITH (MODULUS 1, REMAINDER 0)`,
      'Set DB1_TABLE to the partitioned table public.parent',
    ],
    ['with children', `${TABLE}; CREATE TABLE child () INHERITS (subscriptions)`, 'do not see: public.child. ALTER TABLE … NO INHERIT'],
  ])('%s', async (_, sql, expected) => {
    await world.db1.query(sql);
    expect(await problems()).toEqual([expect.stringContaining(expected)]);
  });

  test('that does not exist', async () => {
    expect(await problems({ table: { name: 'members' } })).toEqual([expect.stringContaining('Correct DB1_TABLE, or create the table')]);
  });

  test.each(['DB1', 'DB2'] as const)('that is in the schema of the service: %s', async (database) => {
    await world.db1.query(`CREATE SCHEMA subscription_sync; ${TABLE.replace('subscriptions', 'subscription_sync.members')}`);
    const refused = [
      `${database}.subscription_sync.members is in the schema subscription_sync, which is the service's own and is dropped with all its tables ` +
        `when the service is removed (decommission --purge). Set ${database}_TABLE to a table of another schema`,
    ];
    expect(await problems({ database, table: { schema: 'subscription_sync', name: 'members' } })).toEqual(refused);
    await world.db1.query(`ALTER DATABASE ${world.name} SET search_path = subscription_sync`);
    expect(await problems({ database, table: { name: 'members' } })).toEqual([refused[0]!.replace('subscription_sync.members', 'members')]);
  });

  test('with all its problems at once', async () => {
    await world.db1.query(`CREATE UNLOGGED TABLE "Members" ("E ""m""" text)`);
    expect(await problems({ table: { name: 'Members', key: 'E "m"' } })).toEqual([
      expect.stringContaining('no column status'),
      expect.stringContaining(`CREATE UNIQUE INDEX CONCURRENTLY ON public."Members" ("E ""m""")`),
      expect.stringContaining('is unlogged'),
    ]);
  });
});

describe('a role is refused', () => {
  test('that may not create the schema, and does not own the table', async () => {
    await world.db1.query(`${TABLE}; GRANT SELECT ON subscriptions TO ${role}`);
    expect(await problems({ user: role })).toEqual([
      `permission denied for database ${world.name}: the role ${role} may not create the schema subscription_sync. Create it: CREATE SCHEMA subscription_sync AUTHORIZATION "${role}"; or let the owner of the database install the service: npx subscription-sync migrate`,
      `permission denied for table DB1.subscriptions: the role ${role} lacks INSERT, UPDATE, DELETE. GRANT INSERT, UPDATE, DELETE ON public.subscriptions TO "${role}"`,
      `must be owner of table subscriptions: DB1.subscriptions belongs to postgres, and only its owner can give it triggers that always fire. GRANT "postgres" TO "${role}"; or let the owner of the database install the service: npx subscription-sync migrate`,
    ]);
  });

  test('that may not create the table', async () => {
    await world.db1.query(SCHEMA(role));
    expect(await problems({ user: role })).toEqual([expect.stringContaining(`GRANT CREATE ON SCHEMA "public" TO "${role}"`)]);
    await world.db1.query('DROP SCHEMA public');
    expect(await problems({ user: role })).toEqual([expect.stringContaining('no schema for the table subscriptions')]);
  });

  test('that may not use the schema', async () => {
    await world.db1.query(`CREATE SCHEMA subscription_sync`);
    expect((await problems({ user: role }))[0]).toContain(`GRANT USAGE, CREATE ON SCHEMA subscription_sync TO "${role}"`);
  });
});

describe('another encoding is refused', () => {
  let name: string;
  beforeAll(() => {
    name = `latin_${process.pid}`;
  });
  afterAll(() => runOn(world.addresses.db1, `DROP DATABASE IF EXISTS ${name}`));

  test('with the way out', async () => {
    await runOn(world.addresses.db1, `CREATE DATABASE ${name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    expect(await problems({ name })).toEqual([expect.stringContaining(`has the encoding LATIN1, which cannot hold every email`)]);
  });
});

test.each([
  [130_011, 'version 14 or newer is needed'],
  [190_000, 'versions 14 to 18 are supported. Use one of these, or a release of subscription-sync that supports 19'],
])('a server of version %i that is a standby is refused', async (version, supported) => {
  const row = { version, encoding: 'UTF8', standby: true, schema: true, uses: true, fills: true, installed: false };
  const facts = { ...row, role: 'r', home: 'public', fillsHome: true };
  const query = <Row>(sql: string): Promise<Row[]> =>
    Promise.resolve(
      (sql.includes('server_encoding') ? [facts] : sql.includes('current_schemas') ? [{ schemas: [], relation: null }] : []) as Row[],
    );
  await expect(expectFit(query, 'DB1', DEFAULT_TABLE)).rejects.toThrow(
    `DB1 is PostgreSQL ${Math.floor(version / 10_000)}; ${supported}\n` +
      'DB1 is a standby, which nothing can be written to. Connect to the primary, or promote this server',
  );
});

describe('an installed database that is not fit any more', () => {
  let shared: World;
  beforeEach(async () => {
    shared = world;
    world = await World.create();
  });
  afterEach(async () => {
    await world.close();
    world = shared;
  });
  const change = (sql: string): Promise<unknown> => world.db1.query(sql);

  test('is one that was fit', async () => {
    expect(await problems()).toEqual([]);
  });

  test.each([
    ['has lost the index', 'ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_pkey', 'no unique index on email'],
    [
      'has another table under the name',
      `ALTER TABLE subscriptions RENAME TO members; ${TABLE.replace('PRIMARY KEY', 'UNIQUE')}`,
      'the triggers of the service are on the table public.members, and DB1_TABLE is "subscriptions". Set DB1_TABLE to public.members',
    ],
    [
      'has a renamed table',
      'ALTER TABLE subscriptions RENAME TO members',
      'the triggers of the service are on the table public.members, and DB1_TABLE is "subscriptions". Set DB1_TABLE to public.members',
    ],
    [
      'has a renamed key',
      'ALTER TABLE subscriptions RENAME COLUMN email TO mail',
      'Set DB1_KEY_COLUMN to the column of the email, one of mail',
    ],
  ])('tells that it %s', async (_, sql, expected) => {
    await change(sql);
    expect(await problems()).toEqual([expect.stringContaining(expected)]);
  });

  test('tells that another column was set as the key, and accepts one that was renamed', async () => {
    await change('ALTER TABLE subscriptions ADD COLUMN login text UNIQUE');
    for (const database of ['DB1', 'DB2'] as const) {
      expect(await problems({ database, table: { key: 'login' } })).toEqual([
        expect.stringContaining(`installed with the key column email of "subscriptions", and ${database}_KEY_COLUMN is login`),
      ]);
    }
    await change('ALTER TABLE subscriptions RENAME COLUMN email TO mail');
    expect(await problems({ table: { key: 'mail' } })).toEqual([]);
  });

  test('tells that Database 2 has another table than the one that is set, and accepts a renamed one', async () => {
    await change(TABLE.replace('subscriptions', 'members'));
    expect(await problems({ database: 'DB2', table: { name: 'members' } })).toEqual([
      expect.stringContaining('the service replicates into the table public.subscriptions, and DB2_TABLE is "members"'),
    ]);
    await change('DROP TABLE subscriptions');
    expect(await problems({ database: 'DB2', table: { name: 'members' } })).toEqual([]);
  });

  test.each([
    [
      'were dropped',
      'DROP TRIGGER aa_subscription_sync_update ON subscriptions; DROP TRIGGER aa_subscription_sync_truncate ON subscriptions',
    ],
    [
      'were all dropped',
      ['insert', 'update', 'truncate'].map((name) => `DROP TRIGGER aa_subscription_sync_${name} ON subscriptions`).join(';'),
    ],
    ['are disabled', 'ALTER TABLE subscriptions DISABLE TRIGGER USER'],
    ['do not fire always', 'ALTER TABLE subscriptions ENABLE TRIGGER USER'],
  ])('tells that triggers %s, and the statements that bring them back', async (_, sql) => {
    await change(sql);
    const [problem, ...others] = await problems();
    expect(others).toEqual([]);
    const [, restore] = /Bring them back: (.*)\. Then start a run/.exec(problem!)!;
    await change(restore!);
    expect(await problems()).toEqual([]);
  });
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Role } from '#config';
import { ROLE_PRIVILEGES } from '#schema';
import { callCli } from '../harness/command-line.js';
import { DatabaseRoles, queryAs } from '../harness/database-roles.js';
import { snapshotOf } from '../harness/definition.js';
import { World } from '../harness/world.js';

describe('the users of the roles', () => {
  let world: World;
  let roles: DatabaseRoles;

  beforeAll(async () => {
    world = await World.create();
    roles = await DatabaseRoles.create(world);
    await Promise.all([roles.grant('db1'), roles.grant('db2')]);
  });
  afterAll(async () => {
    await roles.drop();
    await world.close();
  });

  describe.each(['DB1', 'DB2'] as const)('%s', (database) => {
    const pool = (): World['db1'] => world[database === 'DB1' ? 'db1' : 'db2'];
    const expected = ROLE_PRIVILEGES[database];

    test.each(Object.keys(expected) as Role[])('gives %s what it needs, and nothing else', async (role) => {
      const { rows } = await pool().query<{ object: string; privileges: string[] }>(SELECT_PRIVILEGES, [roles.userOf(role)]);
      const { table, relations, functions } = expected[role]!;
      expect(Object.fromEntries(rows.map(({ object, privileges }) => [object, privileges]))).toEqual({
        database: ['CONNECT', 'TEMPORARY'],
        'schema public': ['USAGE'],
        'schema subscription_sync': ['USAGE'],
        'public.subscriptions': table,
        ...relations,
        ...Object.fromEntries([...functions, ...TRIGGER_FUNCTIONS[database]].map((name) => [name, ['EXECUTE']])),
      });
      const attributes = await pool().query(
        `SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS any, (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid) AS roles,
           (SELECT count(*)::int FROM pg_class WHERE relowner = r.oid) AS owned FROM pg_roles r WHERE rolname = $1`,
        [roles.userOf(role)],
      );
      expect(attributes.rows).toEqual([{ any: false, roles: 0, owned: 0 }]);
    });

    test('has no table, sequence or function about which nothing was decided', async () => {
      const decided = Object.values(expected).flatMap(({ relations, functions }) => [...Object.keys(relations), ...functions]);
      const { rows } = await pool().query<{ name: string }>(SELECT_OBJECTS);
      expect(rows.map(({ name }) => name)).toEqual(
        [...new Set([...decided, ...FOR_NOBODY[database], ...TRIGGER_FUNCTIONS[database]])].sort(),
      );
    });

    test('can be granted again', async () => {
      const before = await snapshotOf(pool());
      await roles.grant(database === 'DB1' ? 'db1' : 'db2');
      expect(await snapshotOf(pool())).toEqual(before);
    });
  });

  test.each<[Role, 'db1' | 'db2', string, string]>([
    ['api', 'db1', `INSERT INTO subscription_sync.changes SELECT * FROM subscription_sync.changes`, 'table changes'],
    ['api', 'db1', `SELECT subscription_sync.append_change('deleted', 'a@example.com', '{}')`, 'function append_change'],
    ['api', 'db1', `UPDATE subscription_sync.api_keys SET hash = ''`, 'table api_keys'],
    ['api', 'db1', 'DELETE FROM subscription_sync.api_keys', 'table api_keys'],
    ['api', 'db1', 'ALTER TABLE subscriptions DISABLE TRIGGER ALL', 'owner of table subscriptions'],
    ['api', 'db1', 'DROP TRIGGER aa_subscription_sync_update ON subscriptions', 'owner of (relation|table) subscriptions'],
    ['api', 'db1', 'TRUNCATE subscriptions', 'table subscriptions'],
    ['api', 'db1', 'SET session_replication_role = replica', 'set parameter'],
    ['api', 'db1', 'CREATE TABLE mine ()', 'schema public'],
    ['api', 'db2', `UPDATE subscriptions SET status = 'x'`, 'table subscriptions'],
    ['api', 'db2', 'SELECT error FROM subscription_sync.dead_letters', 'table dead_letters'],
    ['sync', 'db1', `INSERT INTO subscriptions (email) VALUES ('a@example.com')`, 'table subscriptions'],
    ['sync', 'db1', `UPDATE subscriptions SET status = 'x'`, 'table subscriptions'],
    ['sync', 'db1', 'DELETE FROM subscriptions', 'table subscriptions'],
    ['sync', 'db1', 'SELECT FROM subscriptions FOR UPDATE', 'table subscriptions'],
    [
      'sync',
      'db1',
      `INSERT INTO subscription_sync.api_keys (id, name, hash, scopes, created_by) VALUES ('', '', '', '{}', '')`,
      'table api_keys',
    ],
    ['sync', 'db1', 'DELETE FROM subscription_sync.changes', 'table changes'],
    ['sync', 'db1', 'DROP TABLE subscription_sync.changes_default', 'owner of table changes_default'],
    ['sync', 'db1', 'CREATE TABLE subscription_sync.mine ()', 'schema subscription_sync'],
    ['sync', 'db2', 'DELETE FROM subscriptions', 'table subscriptions'],
    ['sync', 'db2', 'SELECT error FROM subscription_sync.dead_letters', 'table dead_letters'],
    ['sync', 'db2', 'DELETE FROM subscription_sync.dead_letters', 'table dead_letters'],
    ['sync', 'db1', `INSERT INTO subscription_sync.erasures (email, version, requested_by) VALUES ('', 1, '')`, 'table erasures'],
    ['replica', 'db2', 'ALTER TABLE subscriptions ADD COLUMN mine text', 'owner of table subscriptions'],
    ['replica', 'db2', 'TRUNCATE subscription_sync.applied', 'table applied'],
    ['replica', 'db2', 'DELETE FROM subscription_sync.dead_letters', 'table dead_letters'],
    ['replica', 'db2', 'CREATE SCHEMA mine', 'database'],
  ])('%s is refused in %s: %s', async (role, database, sql, object) => {
    await expect(queryAs(world, database, roles.credentialsOf(role), sql)).rejects.toMatchObject({
      code: '42501',
      message: expect.stringMatching(new RegExp(`^(permission denied (for|to) |must be )${object}`)) as unknown,
    });
  });

  test('replica has no way into Database 1', async () => {
    await expect(queryAs(world, 'db1', roles.credentialsOf('replica'), 'SELECT')).rejects.toMatchObject({ code: '28P01' });
  });

  test('sync cannot drop the partition of a month that is not over', async () => {
    const month = `to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')::date`;
    await world.db1.query('INSERT INTO subscription_sync.checkpoint (published_snapshot) SELECT pg_current_snapshot()');
    const sync = roles.credentialsOf('sync');
    expect(await queryAs(world, 'db1', sync, `SELECT subscription_sync.drop_partition(${month}) AS dropped`)).toEqual([{ dropped: false }]);
  });

  test('sync cannot rewrite the history of an email whose erasure was not requested', async () => {
    await world.db1.query(`INSERT INTO subscription_sync.erasures (email, version, requested_by) VALUES ('ada@example.com', 5, 'test')`);
    const sync = roles.credentialsOf('sync');
    const erase = (email: string, version: number): Promise<unknown> =>
      queryAs(world, 'db1', sync, `SELECT subscription_sync.erase_changes('${email}', ${version}, true)`);
    await expect(erase('eve@example.com', 1)).rejects.toMatchObject({ code: '42501' });
    await expect(erase('ada@example.com', 6)).rejects.toMatchObject({ code: '42501' });
    await erase('ada@example.com', 5);
  });

  test('another program needs no right on the schema, also to add a partition to its table', async () => {
    await World.lend(async (own) => {
      const program = `${own.name}_program`;
      const credentials = { user: program, password: 'program' };
      await own.db1.query(`
        DROP SCHEMA subscription_sync CASCADE; DROP TABLE subscriptions;
        CREATE TABLE subscriptions (email text PRIMARY KEY, status text) PARTITION BY HASH (email);
        CREATE ROLE ${program} LOGIN PASSWORD 'program'; ALTER TABLE subscriptions OWNER TO ${program}; GRANT CREATE ON SCHEMA public TO ${program}`);
      try {
        expect((await callCli(['migrate'], own.environment())).stderr).toBe('');
        await queryAs(own, 'db1', credentials, 'CREATE TABLE part PARTITION OF subscriptions FOR VALUES WITH (MODULUS 1, REMAINDER 0)');
        await queryAs(own, 'db1', credentials, `INSERT INTO subscriptions VALUES ('ada@example.com', 'active')`);
        expect((await own.db1.query('SELECT FROM subscription_sync.changes')).rowCount).toBe(1);
      } finally {
        await own.db1.query(`DROP OWNED BY ${program}; DROP ROLE ${program}`);
      }
    });
  });

  test('a user with the rights of the owner is refused by the file, because nothing would limit it', async () => {
    const { rows } = await world.db1.query<{ name: string }>('SELECT current_user::text AS name');
    await expect(roles.grant('db1', { sync: rows[0]!.name })).rejects.toThrow(`The user ${rows[0]!.name} has the rights of the owner`);
  });

  test('psql runs the files as they are, where it is installed', async () => {
    for (const [database, names] of [['db1', ['api', 'sync']] as const, ['db2', ['api', 'sync', 'replica']] as const]) {
      const { host, port, user, password } = world.addresses[database];
      const variables = names.flatMap((role) => ['--set', `${role}=${roles.userOf(role)}`]);
      const place = ['--host', host, '--port', String(port), '--username', user, '--dbname', world.name];
      const run = promisify(execFile)(
        'psql',
        ['--set', 'ON_ERROR_STOP=1', ...variables, ...place, '--file', `deploy/sql/${database}-roles.sql`],
        {
          env: { ...process.env, PGPASSWORD: password },
        },
      );
      const output = await run.catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        process.stderr.write('psql is not installed: the files of deploy/sql are only run with their variables replaced\n');
        return undefined;
      });
      expect(output?.stderr ?? '').toBe('');
    }
  });
});

/** Functions of triggers, which every role may name in a trigger and nobody can call. */
const TRIGGER_FUNCTIONS = { DB1: ['log_change()', 'log_truncate()'], DB2: [] };

/** Objects that are used by the owner's functions alone. A partition of the log is read and written by way of the log. */
const FOR_NOBODY = {
  DB1: [
    'audit_id_seq',
    'changes_…',
    'erasures_id_seq',
    'reconciliation_differences_id_seq',
    'reconciliation_runs_id_seq',
    'migrations_id_seq',
    'row_by_catalog(oid, record)',
  ],
  DB2: ['dead_letters_id_seq', 'migrations_id_seq'],
};

const OBJECTS = `
SELECT 'relation' AS kind, c.oid, c.relkind::text AS relkind,
  CASE WHEN c.relispartition THEN 'changes_…' WHEN c.relnamespace = 'public'::regnamespace THEN 'public.' || c.relname ELSE c.relname::text END AS name
FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND (c.relnamespace = 'subscription_sync'::regnamespace OR c.oid = 'public.subscriptions'::regclass)
UNION ALL
SELECT 'function', p.oid, NULL, format('%s(%s)', p.proname,
  (SELECT string_agg(format_type(a, NULL), ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY u(a, n)))
FROM pg_proc p WHERE p.pronamespace = 'subscription_sync'::regnamespace`;

const SELECT_OBJECTS = `SELECT DISTINCT name COLLATE "C" AS name FROM (${OBJECTS}) o WHERE name <> 'public.subscriptions' ORDER BY 1`;

/** Everything that the user $1 may do: with each object, its privileges, or those on some of its columns. */
const SELECT_PRIVILEGES = `
WITH objects AS (${OBJECTS}), privileges AS (
  SELECT o.name, p.place, p.name AS privilege,
    CASE WHEN o.kind = 'function' THEN p.name = 'EXECUTE' AND has_function_privilege($1, o.oid, 'EXECUTE')
      WHEN o.relkind = 'S' THEN p.name IN ('SELECT', 'USAGE', 'UPDATE') AND has_sequence_privilege($1, o.oid, CASE WHEN p.name IN ('SELECT', 'USAGE', 'UPDATE') THEN p.name ELSE 'USAGE' END)
      ELSE p.name NOT IN ('USAGE', 'EXECUTE') AND has_table_privilege($1, o.oid, CASE WHEN p.name IN ('USAGE', 'EXECUTE') THEN 'SELECT' ELSE p.name END) END AS whole,
    CASE WHEN o.kind = 'relation' AND o.relkind <> 'S' AND p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN (
      SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege($1, a.attrelid, a.attnum, p.name)) END AS columns
  FROM objects o, unnest('{SELECT,USAGE,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,EXECUTE}'::text[]) WITH ORDINALITY p(name, place)
  UNION ALL
  SELECT 'schema ' || n.nspname, p.place, p.name, has_schema_privilege($1, n.oid, p.name), NULL
  FROM pg_namespace n, unnest('{USAGE,CREATE}'::text[]) WITH ORDINALITY p(name, place) WHERE n.nspname IN ('public', 'subscription_sync')
  UNION ALL
  SELECT 'database', p.place, p.name, has_database_privilege($1, current_database(), p.name), NULL
  FROM unnest('{CONNECT,CREATE,TEMPORARY}'::text[]) WITH ORDINALITY p(name, place)
)
SELECT name AS object, json_agg(
    CASE WHEN whole THEN privilege ELSE format('%s (%s)', privilege, array_to_string(columns, ', ')) END ORDER BY place) AS privileges
FROM privileges WHERE whole OR columns IS NOT NULL GROUP BY name`;

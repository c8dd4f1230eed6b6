import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, type Pool } from 'pg';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { type DatabaseSettings, DEFAULT_TIMINGS } from '#config';
import { Database, db1ConnectionOptions, prepared, withMaintenanceTimeout } from '#postgres';
import { runOn, sharedParts } from '../harness/addresses.js';
import { callCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { CAN_KEEP_PREPARED, Pooler, POOLER_VERSION } from '../harness/pooler.js';
import { UNUSUAL } from '../harness/unusual-settings.js';
import { World } from '../harness/world.js';

/** PgBouncer is no package of npm. CI installs Debian's; PGBOUNCER names another one. */
const describePoolers = POOLER_VERSION ? describe : describe.skip;
const KINDS = CAN_KEEP_PREPARED ? ([true, false] as const) : ([false] as const);

/** A role whose settings are unusual in both databases: a session that is not pinned would show it. */
const role = `pooled_${randomBytes(4).toString('hex')}`;
let poolers: { readonly db1: Pooler; readonly db2: Pooler };

async function startPoolers(options: Parameters<typeof Pooler.start>[2]): Promise<typeof poolers> {
  const parts = sharedParts();
  const start = (part: 'db1' | 'db2'): Promise<Pooler> =>
    Pooler.start(parts[part], { [role]: role, [parts[part].user]: parts[part].password }, options);
  const [db1, db2] = await Promise.all([start('db1'), start('db2')]);
  return { db1, db2 };
}

/** The environment of a service that connects through the poolers, and directly where it must. */
function pooled({ direct }: { direct: boolean }): Record<string, string> {
  const url = ({ port }: { port: number }): string => `postgres://${role}:${role}@127.0.0.1:${port}`;
  const [one, two] = [poolers.db1.address, poolers.db2.address];
  const address = { DB1_HOST: '127.0.0.1', DB1_PORT: String(one.port), DB2_HOST: '127.0.0.1', DB2_PORT: String(two.port) };
  const user = { DB1_USER: role, DB1_PASSWORD: role, DB2_USER: role, DB2_PASSWORD: role };
  return { ...address, ...user, ...(direct && { DB1_DIRECT_URL: url(sharedParts().db1) }) };
}

async function makeUnusual(world: World): Promise<void> {
  for (const pool of [world.db1, world.db2]) {
    for (const [name, value] of Object.entries(UNUSUAL)) {
      await pool.query(`ALTER ROLE ${role} IN DATABASE ${world.name} SET ${name} = '${value}'`);
    }
  }
}

describePoolers.each(KINDS)('through poolers that keep prepared statements: %s', (keepsPrepared) => {
  beforeAll(async () => {
    const { db1, db2 } = sharedParts();
    for (const part of [db1, db2]) await runOn(part, `CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD '${role}'`);
    poolers = await startPoolers({ keepsPrepared });
  });
  afterAll(async () => {
    await Promise.all([poolers.db1.close(), poolers.db2.close()]);
    const { db1, db2 } = sharedParts();
    for (const part of [db1, db2]) await runOn(part, `DROP ROLE ${role}`);
  });

  test('all roles work, with the settings pinned, and with a direct connection for the capture', async () => {
    const world = await World.create({ capture: 'wal', env: pooled({ direct: true }), unmigrated: true });
    try {
      await makeUnusual(world);
      await world.start();
      await world.ready();
      await world.db1.query(
        `INSERT INTO subscriptions (email, status, access_until) SELECT n || 'ü@example.com', 'active', '2026-12-31T23:59:59.123456Z' FROM generate_series(1, 500) n`,
      );
      for (let n = 0; n < 20; n += 1) {
        const created = await fetch(`${world.url}/subscriptions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ email: `api${n}@example.com`, status: 'active', metadata: { text: 'a\\b', n } }),
        });
        expect(created.status).toBe(201);
      }
      await expectEqualDatabases(world);
      await expectNothingLeft(world);

      await world.db2.query(`UPDATE subscriptions SET status = 'expired' WHERE email LIKE '1%'`);
      await fetch(`${world.url}/reconciliation/runs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"repair": true}',
      });
      await expectEqualDatabases(world);

      await Promise.all([poolers.db1.restart(), poolers.db2.restart()]);
      await world.db1.query(`UPDATE subscriptions SET status = 'canceled' WHERE email LIKE '2%'`);
      await expectEqualDatabases(world);
    } finally {
      await world.close();
    }
  });

  /** A setting or a lock that a session keeps would meet the next program to which the pooler lends it. */
  async function expectNothingLeft(world: World): Promise<void> {
    for (const [pool, { address }] of [
      [world.db1, poolers.db1],
      [world.db2, poolers.db2],
    ] as const) {
      const lent = await new DataSource({
        type: 'postgres',
        ...address,
        username: role,
        password: role,
        database: world.name,
        logger: 'debug',
      }).initialize();
      try {
        for (let session = 0; session < 8; session += 1) {
          const [row] = await lent.query<[Record<string, string>]>(
            `SELECT ${Object.keys(UNUSUAL)
              .map((name) => `current_setting('${name}') AS "${name}"`)
              .join(', ')}`,
          );
          const { client_encoding: _, ...settings } = UNUSUAL;
          expect(row).toMatchObject(settings);
        }
      } finally {
        await lent.destroy();
      }
      const { rows } = await pool.query(
        `SELECT l.classid, l.objid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND a.datname = $1 AND a.application_name = ''`,
        [world.name],
      );
      expect(rows).toEqual([]);
    }
  }

  test('without a direct connection, the capture says which setting is missing, and the other roles work', async () => {
    const world = await World.create({ servers: [['api', 'replica'], ['sync']], env: pooled({ direct: false }) });
    try {
      await world.start();
      const [api, sync] = world.urls as [string, string];
      await eventually(async () => (await readinessOf(api)).status === 'ok');
      const problem = eventually(
        async () => Object.values((await readinessOf(sync)).checks).find(({ error }) => error?.includes('pooler'))?.error,
      );
      await expect(problem).resolves.toContain('set DB1_DIRECT_URL to the address of the database itself');
    } finally {
      await world.close();
    }
  });

  test('commands work, and the doctor says what is in between', async () => {
    await World.lend(
      async (world) => {
        const env = { ...world.environment(), ...pooled({ direct: true }) };
        expect(await callCli(['keys', 'create', '--name', 'first', '--scopes', 'read'], env)).toMatchObject({ code: 0 });
        expect((await callCli(['keys', 'list'], env)).stdout).toContain('first');
        const { stdout } = await callCli(['doctor'], env);
        expect(stdout).toContain(`through a pooler, which ${keepsPrepared ? 'keeps' : 'does not keep'} prepared statements`);
        expect(stdout).not.toContain('PROBLEM');
        expect((await callCli(['doctor'], { ...env, DB1_DIRECT_URL: '' })).stdout).toMatch(/PROBLEM +DB1 .*set DB1_DIRECT_URL/);
      },
      { servers: [] },
    );
  });

  describe('a pool of connections', () => {
    const settings = (): DatabaseSettings => ({ ...poolers.db1.address, user: role, password: role, database: 'postgres', poolSize: 1 });
    let database: Database;
    beforeAll(async () => {
      database = new Database('db1', new DataSource(db1ConnectionOptions(settings())), DEFAULT_TIMINGS.postgres);
      await database.dataSource.initialize();
      Object.assign(database, { isPrepared: true });
      await openSessions();
      await runOn(sharedParts().db1, `CREATE TABLE ${role} (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)`);
    });
    afterAll(async () => {
      await database.dataSource.destroy();
      await runOn(sharedParts().db1, `DROP TABLE ${role}`);
    });
    /** A pooler opens a session when it has none to lend. */
    const openSessions = async (): Promise<void> => {
      const clients = [1, 2, 3].map(() => new Client({ ...poolers.db1.address, user: role, password: role, database: 'postgres' }));
      for (const client of clients) {
        await client.connect();
        await client.query('BEGIN');
      }
      await Promise.all(clients.map((client) => client.query('COMMIT')));
      await Promise.all(clients.map((client) => client.end()));
    };
    const sessionOf = async (): Promise<number> => (await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]!.pid;

    test('gets another session with each transaction, and its settings each time', async () => {
      const sessions = new Set<number>();
      for (let n = 0; n < 8; n += 1) {
        sessions.add(await sessionOf());
        expect(
          await database.query(
            `SELECT current_setting('statement_timeout') AS s, current_setting('TimeZone') AS z, current_setting('transaction_isolation') AS i`,
          ),
        ).toEqual([{ s: '10s', z: 'UTC', i: 'read committed' }]);
      }
      expect(sessions.size).toBeGreaterThan(1);
    });

    test('runs a prepared statement in each of them', async () => {
      const statement = prepared('SELECT $1::int + 1 AS sum');
      const pool = (database.dataSource.driver as PostgresDriver).master as Pool;
      // A statement that a session lacks costs its connection.
      let connections = 0;
      pool.on('connect', () => (connections += 1));
      for (let n = 0; n < 8; n += 1) expect(await database.queryPrepared(statement, [n])).toEqual([{ sum: n + 1 }]);
      expect(connections).toBe(0);
    });

    test('reports the error of the statement, and of its end, and goes on', async () => {
      await expect(database.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
      await expect(database.dataSource.query('SELECT $1::int / 0', [1])).rejects.toMatchObject({ code: '22012' });
      await expect(database.query(`INSERT INTO public.${role} VALUES (1), (1)`)).rejects.toMatchObject({ code: '23505' });
      await expect(database.query(`SELECT count(*)::int AS n FROM public.${role}`)).resolves.toEqual([{ n: 0 }]);
    });

    test('changes a setting for its own statements only', async () => {
      const timeout = `SELECT current_setting('statement_timeout') AS s`;
      await withMaintenanceTimeout(database.dataSource, async (manager) => {
        expect(await manager.query(timeout)).toEqual([{ s: '1h' }]);
        expect(await manager.transaction((inner) => inner.query(timeout))).toEqual([{ s: '1h' }]);
      });
      for (let n = 0; n < 8; n += 1) expect(await database.query(timeout)).toEqual([{ s: '10s' }]);
    });
  });
});

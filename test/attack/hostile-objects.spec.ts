import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, type Pool } from 'pg';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { World } from '../harness/world.js';
import { call, finished, requested } from '../pipeline/reconciliation/runs.js';
import { callsOf, createHostileObjects } from './hostile-objects.js';

/** With columns whose types PostgreSQL's operators do not have exactly. */
const TABLE = `
CREATE TABLE subscriptions (email varchar(200) PRIMARY KEY, status varchar(20) NOT NULL, plan varchar(20), access_until timestamptz,
  cancel_at_period_end boolean NOT NULL DEFAULT false, metadata jsonb NOT NULL DEFAULT '{}', created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON subscriptions (status, email);`;

describe('a role that may create objects in the schema public', () => {
  let world: World;
  let role: string;

  const everyDatabase = (work: (pool: Pool) => Promise<unknown>): Promise<unknown> => Promise.all([world.db1, world.db2].map(work));

  beforeAll(async () => {
    world = await World.create({ unmigrated: true, env: { CANARY_INTERVAL: '1' } });
    role = `low_${world.name}`;
    await everyDatabase((pool) => pool.query(TABLE));
    await world.start();
    await world.ready();
    await everyDatabase(async (pool) => {
      await pool.query(`CREATE ROLE ${role} LOGIN PASSWORD 'low'; GRANT SELECT, INSERT, UPDATE, DELETE ON subscriptions TO ${role}`);
      await createHostileObjects(pool, role);
    });
    // Statements that were planned before are planned again.
    await world.stop();
    await world.start();
    await world.ready();
  });
  afterAll(async () => {
    await world.stop();
    await everyDatabase((pool) => pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
    await world.close();
  });

  async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const response = await fetch(`${world.url}/${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  test('is not called by what the API reads and writes', async () => {
    const ada = { email: 'ada@example.com', status: 'active', metadata: { a: 1 } };
    await send('POST', 'subscriptions', ada, { 'idempotency-key': 'first', prefer: 'wait=10' });
    const { headers } = await send('GET', 'subscriptions/ada@example.com');
    await send('PATCH', 'subscriptions/ada@example.com', { metadata: { b: 2 } }, { 'if-match': headers.get('etag')! });
    await send('PUT', 'subscriptions/eve@example.com', { status: 'canceled', plan: 'pro' });
    await send('PUT', 'subscriptions/eve@example.com', { status: 'active', reactivate: true });
    await send('DELETE', 'subscriptions/eve@example.com');
    const lines = Array.from({ length: 20 }, (_, i) => JSON.stringify({ email: `row${i}@example.com`, status: 'active', plan: 'basic' }));
    await send('POST', 'subscriptions/import', [...lines, ...lines].join('\n'), { 'content-type': 'application/x-ndjson' });
    for (const path of [
      'subscriptions?status=active&plan=basic&email_prefix=row',
      'subscriptions?status=active,paused&limit=3',
      'subscriptions?sort=-email&limit=2',
      'subscriptions/export',
      'subscriptions/ada@example.com/history',
      'subscriptions/ada@example.com/replication',
      'replica/subscriptions/ada@example.com',
      'events?limit=5',
      'dead-letters',
      'access/keys',
      'reconciliation/runs',
    ]) {
      await send('GET', path);
    }
    await expectEqual();
    await expectNoCall();
  });

  test('is not called by the triggers, or by what brings changes to Database 2', async () => {
    const program = new Client({ ...world.addresses.db1, database: world.name, user: role, password: 'low', application_name: role });
    await program.connect();
    await program.query(`SET search_path = public, pg_catalog`);
    await program.query(`INSERT INTO subscriptions (email, status) VALUES ('Bob@Example.com', 'active'), ('carl@example.com', 'active')`);
    await program.query(`UPDATE subscriptions SET plan = 'team'`);
    await program.query(
      `UPDATE subscriptions SET email = 'robert@example.com' WHERE plan LIKE 'team' AND starts_with(email::text, 'Bob'::text)`,
    );
    await program.end();
    await asAdministrator('db1', `DELETE FROM public.subscriptions WHERE email = 'carl@example.com'`);
    await expectEqual();
    await expectNoCall();
  });

  test('is not called by comparisons, repairs and backfills', async () => {
    await asAdministrator(
      'db2',
      `UPDATE public.subscriptions SET plan = 'wrong' WHERE email = 'row1@example.com';
       DELETE FROM public.subscriptions WHERE email = 'row2@example.com';
       INSERT INTO public.subscriptions (email, status) VALUES ('strange@example.com', 'active')`,
    );
    const { id } = await requested(world, { scope: 'all', repair: true });
    expect(await finished(world, id)).toMatchObject({ repaired: 3 });
    await expectEqual();
    const { run } = await call(world, 'POST', 'resyncs', {});
    expect((await finished(world, run.id)).outcome).toBe('resynced');
    await expectEqual();
    await expectNoCall();
  });

  test('cannot keep its changes out of the log, or choose their order, by settings', async () => {
    const program = new Client({ ...world.addresses.db1, database: world.name, user: role, password: 'low', application_name: role });
    await program.connect();
    const claims = ['actor', 'reason', 'origin', 'nested', 'reactivate', 'version', 'traceparent'];
    await program.query(`SET search_path = pg_catalog; ${claims.map((name) => `SET subscription_sync.${name} = 'on'`).join('; ')}`);
    await program.query(`INSERT INTO public.subscriptions (email, status) VALUES ('claims@example.com', 'active')`);
    await program.query(`UPDATE public.subscriptions SET status = 'paused' WHERE email = 'claims@example.com'`);
    await program.query(`UPDATE public.subscriptions SET email = 'other@example.com' WHERE email = 'claims@example.com'`);
    await program.query(`DELETE FROM public.subscriptions WHERE email = 'other@example.com'`);
    await program.end();
    const own = await asAdministrator<{ change: string; database_user: string }>(
      'db1',
      `SELECT operation || ' ' || email AS change, database_user FROM subscription_sync.changes WHERE actor = 'on' ORDER BY version`,
    );
    expect(own.map(({ change }) => change)).toEqual([
      'created claims@example.com',
      'updated claims@example.com',
      'deleted claims@example.com',
      'created other@example.com',
      'deleted other@example.com',
    ]);
    expect(new Set(own.map(({ database_user }) => database_user))).toEqual(new Set([role]));
    await expectEqual();
  });

  /** A session that no hostile object disturbs. */
  async function asAdministrator<Row extends object>(database: 'db1' | 'db2', text: string): Promise<Row[]> {
    const client = new Client({ ...world.addresses[database], database: world.name, options: '-c search_path=pg_catalog' });
    await client.connect();
    const { rows } = await client.query<Row>(text);
    await client.end();
    return rows;
  }

  async function expectEqual(): Promise<void> {
    const read = async (database: 'db1' | 'db2'): Promise<string[]> =>
      (
        await asAdministrator<{ row: string }>(database, 'SELECT s::text AS row FROM public.subscriptions s ORDER BY email COLLATE "C"')
      ).map(({ row }) => row);
    await eventually(async () => (await read('db1')).join() === (await read('db2')).join());
  }

  async function expectNoCall(): Promise<void> {
    expect([...(await callsOf(world.db1, role)), ...(await callsOf(world.db2, role))]).toEqual([]);
  }
});

describe("triggers of users' tables find what the search_path of the service's role has", () => {
  /** An AFTER trigger, and one that fires at the commit. Neither names a schema. */
  const TRIGGERS = `
CREATE SCHEMA app;
CREATE TABLE app.audit (moment text, email text);
CREATE FUNCTION app.note(moment text, email text) RETURNS void LANGUAGE sql AS 'INSERT INTO app.audit VALUES ($1, $2)';
CREATE FUNCTION app.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM note(TG_ARGV[0], coalesce(NEW.email, OLD.email)::text);
  INSERT INTO audit SELECT 'table', coalesce(NEW.email, OLD.email);
  RETURN NULL;
END $$;
CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON subscriptions FOR EACH ROW EXECUTE FUNCTION app.audit('row');
CREATE CONSTRAINT TRIGGER audited_late AFTER INSERT OR UPDATE OR DELETE ON subscriptions DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION app.audit('commit');`;

  test('in writes of the API and of imports, and in Database 2', async () => {
    await World.lend(
      async (world) => {
        for (const pool of [world.db1, world.db2]) {
          await pool.query(`${TABLE} ${TRIGGERS} ALTER DATABASE ${world.name} SET search_path = app, public`);
        }
        await world.start();
        await world.ready();
        const headers = { 'content-type': 'application/json' };
        const path = `${world.url}/subscriptions/ada@example.com`;
        expect((await fetch(path, { method: 'PUT', headers, body: '{"status":"active"}' })).status).toBe(201);
        expect((await fetch(path, { method: 'PATCH', headers, body: '{"plan":"pro"}' })).status).toBe(200);
        const line = '{"email":"bob@example.com","status":"active"}';
        const imported = { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: line };
        expect((await fetch(`${world.url}/subscriptions/import`, imported)).status).toBe(201);
        await expectEqualDatabases(world);
        expect((await fetch(path, { method: 'DELETE' })).status).toBe(204);
        await expectEqualDatabases(world);
        for (const pool of [world.db1, world.db2]) {
          const found = await eventually(async () => {
            const { rows } = await pool.query<{ found: string[] }>(
              `SELECT array_agg(DISTINCT moment || ' ' || email ORDER BY moment || ' ' || email) AS found FROM app.audit`,
            );
            return rows[0]!.found;
          });
          expect(found).toEqual(['commit', 'row', 'table'].flatMap((moment) => [`${moment} ada@example.com`, `${moment} bob@example.com`]));
        }
      },
      { unmigrated: true },
    );
  });
});

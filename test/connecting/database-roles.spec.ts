import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Role } from '#config';
import { SCOPES } from '#http';
import { bearer, makeKey } from '../harness/credentials.js';
import { DatabaseRoles, queryAs } from '../harness/database-roles.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

const ROLES: readonly Role[] = ['api', 'sync', 'replica'];

describe.each(['wal', 'poll'] as const)('three processes with users of their own, by %s', (capture) => {
  let parts: Parts;
  let world: World;
  let roles: DatabaseRoles;
  const processes = new Map<Role, ServerProcess>();
  /** Another key for each process, because a key's use is recorded once an hour. */
  const keys = new Map<Role, string>();

  beforeAll(async () => {
    // Servers of its own, whose logs tell what was refused: some of the service's statements may fail without consequences.
    parts = await Parts.start(['db1', 'db2']);
    world = await World.create({ capture, parts: parts.addresses, env: { CANARY_INTERVAL: '1', LOG_RETENTION_DAYS: '1' } });
    roles = await DatabaseRoles.create(world);
    if (capture === 'wal') await world.db1.query(`ALTER ROLE ${roles.userOf('sync')} REPLICATION`);
    await world.db1.query(OLD_MONTH);
    // The snapshot is that of another transaction: a transaction is not visible in its own.
    await world.db1.query('INSERT INTO subscription_sync.checkpoint (published_snapshot) SELECT pg_current_snapshot()');
    await Promise.all([roles.grant('db1'), roles.grant('db2')]);
    for (const role of ROLES) keys.set(role, await makeKey(world.db1, ...SCOPES));
    // A process without Database 1 knows no keys.
    const access = (role: Role): Record<string, string> => (role === 'replica' ? {} : { ACCESS: 'required' });
    for (const role of ROLES) processes.set(role, await ServerProcess.launch({ ...roles.environment(role), ...access(role) }));
    await Promise.all([...processes.values()].map((server) => server.ready(40_000)));
  });
  afterAll(async () => {
    await Promise.all([...processes.values()].map((server) => server.signal('SIGTERM')));
    await world.close();
    await parts.close();
  });

  async function call(role: Role, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${processes.get(role)!.url}/${path}`, {
      method,
      headers: { ...bearer(keys.get(role)!), 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && !/ndjson/.test(response.headers.get('content-type')!);
    return { status: response.status, body: isJson ? JSON.parse(text) : text };
  }

  test('what the API and SQL write reaches Database 2', async () => {
    expect((await readinessOf(processes.get('sync')!.url, bearer(keys.get('sync')!))).checks['sync']).toMatchObject({ capture });
    const waits = { prefer: 'wait=10', 'idempotency-key': 'first' };
    const ada = { email: 'ada@example.com', status: 'active', metadata: { a: 1 } };
    expect((await call('api', 'POST', 'subscriptions', ada, waits)).status).toBe(201);
    expect((await call('api', 'POST', 'subscriptions', ada, waits)).status).toBe(201);
    expect((await call('api', 'PATCH', 'subscriptions/ada@example.com', { metadata: { b: 2 } })).status).toBe(200);
    expect((await call('api', 'PUT', 'subscriptions/eve@example.com', { status: 'active' })).status).toBe(201);
    expect((await call('api', 'DELETE', 'subscriptions/eve@example.com')).status).toBe(204);
    await world.db1.query(
      `INSERT INTO subscriptions (email, status) SELECT 'row' || i || '@example.com', 'active' FROM generate_series(1, 50) i`,
    );
    await world.db1.query(
      `UPDATE subscriptions SET plan = 'pro' WHERE email LIKE 'row1%'; DELETE FROM subscriptions WHERE email LIKE 'row2%'`,
    );
    await expectEqualDatabases(world);
  });

  test('the API shows lists, the history, the feed, replication and keys, and imports and exports', async () => {
    const lines = '{"email": "bob@example.com", "status": "active"}\n';
    expect(await call('api', 'POST', 'subscriptions/import', lines, { 'content-type': 'application/x-ndjson' })).toMatchObject({
      status: 201,
      body: { created: 1 },
    });
    expect((await call('api', 'GET', 'subscriptions/export')).body).toContain('bob@example.com');
    expect((await call('api', 'GET', 'subscriptions?status=active&email_prefix=BOB')).body).toMatchObject({
      data: [{ email: 'bob@example.com' }],
    });
    expect((await call('api', 'GET', 'subscriptions/ada@example.com/history')).body).toMatchObject({ data: [{}, {}] });
    expect((await call('api', 'GET', 'events?limit=2')).body).toMatchObject({ data: [{}, {}] });
    await eventually(async () => (await call('api', 'GET', 'subscriptions/bob@example.com/replication')).body.state === 'in_sync');
    expect((await call('api', 'GET', 'replica/subscriptions/bob@example.com')).status).toBe(200);
    const { body: made } = await call('api', 'POST', 'access/keys', { name: 'job', scopes: ['read'] });
    const { body: rotated } = await call('api', 'POST', `access/keys/${made.id}/rotate`, {});
    expect(rotated).toMatchObject({ name: 'job' });
    expect((await call('api', 'DELETE', `access/keys/${rotated.id}`)).status).toBe(204);
    expect((await call('api', 'GET', 'access/keys')).body.data).toHaveLength(5);
  });

  test('a run repairs, and a backfill copies', async () => {
    await world.db2.query(`
      UPDATE subscriptions SET status = 'drift' WHERE email = 'ada@example.com'; DELETE FROM subscriptions WHERE email = 'bob@example.com';
      INSERT INTO subscriptions (email, status) VALUES ('ghost@example.com', 'active')`);
    const finish = async (path: string, body: object): Promise<unknown> => {
      const { id } = (await eventually(async () => {
        const { status, body: run } = await call('sync', 'POST', path, body);
        return status === 202 ? run : undefined;
      })) as { id: number };
      return eventually(async () => {
        const { body: run } = await call('sync', 'GET', `reconciliation/runs/${id}`);
        return run.outcome === null ? undefined : run;
      });
    };
    expect(await finish('reconciliation/runs', { repair: true })).toMatchObject({ outcome: 'repaired', repaired: 3 });
    expect((await call('sync', 'GET', 'reconciliation/differences')).body.data).toHaveLength(3);
    await expectEqualDatabases(world);
    await world.db2.query(`UPDATE subscriptions SET status = 'drift'`);
    expect(await finish('reconciliation/resyncs', {})).toMatchObject({ outcome: 'resynced' });
    await expectEqualDatabases(world);
    expect(await finish('reconciliation/resyncs', { publish: true })).toMatchObject({ outcome: 'resynced' });
  });

  test('a refused record becomes a dead letter, which is redriven, and another one discarded', async () => {
    await world.db2.query('ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) <= 5) NOT VALID');
    await world.db1.query(`UPDATE subscriptions SET plan = 'too wide' WHERE email IN ('ada@example.com', 'bob@example.com')`);
    const letters = await eventually(async () => {
      const { data } = (await call('replica', 'GET', 'dead-letters')).body;
      return data.length === 2 ? (data as { id: number }[]) : undefined;
    });
    expect((await call('api', 'GET', 'subscriptions/ada@example.com/replication')).body).toMatchObject({ state: 'dead_lettered' });
    await world.db2.query('ALTER TABLE subscriptions DROP CONSTRAINT narrow');
    expect((await call('replica', 'POST', `dead-letters/${letters[0]!.id}/redrive`)).body).toMatchObject({ outcome: 'applied' });
    expect((await call('replica', 'POST', `dead-letters/${letters[1]!.id}/discard`)).body).toMatchObject({ state: 'discarded' });
    expect((await call('replica', 'POST', 'dead-letters/redrive', {})).status).toBe(200);
    await world.db1.query(`UPDATE subscriptions SET plan = 'pro' WHERE plan = 'too wide'`);
    await expectEqualDatabases(world);
  });

  test('an email is erased from both databases', async () => {
    const { body: erasure } = await call('api', 'POST', 'erasures', { email: 'bob@example.com' });
    await eventually(async () => (await call('api', 'GET', `erasures/${erasure.id}`)).body.state === 'erased');
    expect((await call('api', 'GET', 'subscriptions/bob@example.com/history')).status).toBe(404);
    const letters = await world.db2.query(`SELECT FROM subscription_sync.dead_letters WHERE key = 'bob@example.com'`);
    expect(letters.rowCount).toBe(0);
  });

  test('partitions of the log are created and pruned', async () => {
    await eventually(async () => {
      const { rows } = await world.db1.query<{ name: string }>(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'subscription_sync.changes'::regclass`,
      );
      return rows.length === 4 && !rows.some(({ name }) => name.endsWith('2020_01'));
    });
    const kept = await world.db1.query(`SELECT FROM subscription_sync.pruned_changes WHERE email = 'old@example.com'`);
    expect(kept.rowCount).toBe(1);
  });

  test('PostgreSQL has refused none of their statements', async () => {
    // One that is refused, to know that the log tells.
    await expect(queryAs(world, 'db1', roles.credentialsOf('sync'), 'DELETE FROM subscription_sync.changes')).rejects.toThrow();
    const refusals = (['db1', 'db2'] as const).flatMap(
      (part) => parts.logSince(part).match(/(?:permission denied|must be owner).*$/gm) ?? [],
    );
    expect(refusals).toEqual(['permission denied for table changes']);
  });
});

/** A month of the log that can be pruned, and one that is missing. */
const OLD_MONTH = `
CREATE TABLE subscription_sync.changes_2020_01 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z');
INSERT INTO subscription_sync.changes (version, operation, email, image, actor, origin, occurred_at)
VALUES (nextval('subscription_sync.version'), 'deleted', 'old@example.com', '{"email": "old@example.com", "status": "gone"}', 'test', 'sql', '2020-01-15Z');
DO $$ BEGIN
  EXECUTE format('DROP TABLE subscription_sync.%I', 'changes_' || to_char(now() AT TIME ZONE 'UTC' + interval '2 months', 'YYYY_MM'));
END $$`;

interface Answer {
  readonly status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- The body of any answer.
  readonly body: any;
}

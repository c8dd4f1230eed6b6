import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { UNUSUAL } from '../harness/unusual-settings.js';
import { World } from '../harness/world.js';

const COLUMNS = 'ADD COLUMN i interval, ADD COLUMN f float8, ADD COLUMN b bytea, ADD COLUMN m money, ADD COLUMN a text[]';
const VALUES = `INSERT INTO subscriptions (email, status, access_until, i, f, b, m, a)
  SELECT n || 'ü@example.com', 'active', '2026-12-31T23:59:59.123456Z', '1 day 2 hours', 0.1, E'\\\\x00ff5c', '12.50', ARRAY[NULL, E'b\\\\\\\\c'] FROM generate_series(1, 20) n`;

async function addColumns(world: World): Promise<void> {
  for (const pool of [world.db1, world.db2]) await pool.query(`ALTER TABLE subscriptions ${COLUMNS}`);
}

/** Lends a world whose service connects as a role with these settings in both databases. */
async function lend(capture: 'wal' | 'poll', work: (world: World) => Promise<void>): Promise<void> {
  const role = `unusual_${randomBytes(4).toString('hex')}`;
  const env = Object.fromEntries(
    ['DB1', 'DB2'].flatMap((name) => [
      [`${name}_USER`, role],
      [`${name}_PASSWORD`, role],
    ]),
  );
  await World.lend(
    async (world) => {
      const pools = [world.db1, world.db2];
      for (const pool of pools) {
        await pool.query(`CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD '${role}'`);
        for (const [name, value] of Object.entries(UNUSUAL)) {
          // Settings of a role in a database come before those of the role, and these before those of the database.
          await pool.query(`ALTER ROLE ${role} IN DATABASE ${world.name} SET ${name} = '${value}'`);
        }
      }
      try {
        await work(world);
      } finally {
        await world.stop();
        for (const pool of pools) await pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      }
    },
    { capture, env },
  );
}

test.concurrent.each(['wal', 'poll'] as const)('no setting of the databases or of the role changes anything, by %s', (capture) =>
  lend(capture, async (world) => {
    await addColumns(world);
    await world.start();
    await world.ready();
    await world.db1.query(VALUES);
    await expectEqualDatabases(world);
    await world.db1.query(`UPDATE subscriptions SET f = 1e-300, metadata = '{"a": "\\\\u00e9"}' WHERE email LIKE '1%'`);
    await world.db1.query(`DELETE FROM subscriptions WHERE email LIKE '2%'`);
    await expectEqualDatabases(world);
    const created = await fetch(`${world.url}/subscriptions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'api@example.com', status: 'active', metadata: { text: 'a\\b' } }),
    });
    expect(created.status).toBe(201);
    await expectEqualDatabases(world);
  }),
);

/** Settings with which a writer refuses, ends or garbles its own session, whatever the triggers do. */
const OF_THE_SESSION = new Set([
  'statement_timeout',
  'idle_session_timeout',
  'idle_in_transaction_session_timeout',
  'default_transaction_read_only',
  'client_encoding',
]);

test.concurrent('no setting of a writer keeps its changes out of the log', () =>
  World.lend(async (world) => {
    await addColumns(world);
    await world.start();
    await world.ready();
    const settings = Object.entries({ ...UNUSUAL, search_path: 'pg_temp, public' }).filter(([name]) => !OF_THE_SESSION.has(name));
    const writer = await world.db1.connect();
    const warnings: string[] = [];
    writer.on('notice', ({ message }) => warnings.push(message ?? ''));
    for (const [name, value] of settings) {
      await writer.query(`SELECT set_config('${name}', '${value}', false)`);
    }
    await writer.query(VALUES);
    await writer.query(`UPDATE subscriptions SET f = 1e-300, metadata = '{"a": 1}' WHERE email LIKE '1%'`);
    await writer.query(`DELETE FROM subscriptions WHERE email LIKE '2%'`);
    writer.release(true);
    await expectEqualDatabases(world);
    expect(warnings).toEqual([]);
  }),
);

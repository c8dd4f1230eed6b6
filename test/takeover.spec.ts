import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { expectEqualDatabases } from './harness/compare.js';
import { eventually } from './harness/eventually.js';
import { disorderIn } from './harness/life.js';
import { readinessOf } from './harness/readiness.js';
import { ServerProcess } from './harness/server-process.js';
import { World } from './harness/world.js';

/**
 * What is expected of a takeover. A killed process's connections are closed by its system; a stopped one keeps them until
 * PostgreSQL has heard nothing for 8 s.
 */
const TAKEOVER_MS = { SIGKILL: 10_000, SIGSTOP: 15_000 };

let world: World;
let processes: ServerProcess[];

beforeEach(async () => {
  world = await World.create();
  processes = [];
});
afterEach(async () => {
  await Promise.all(processes.map((process) => process.signal('SIGKILL')));
  await world.close();
});

async function start(roles: string, capture = 'auto'): Promise<ServerProcess> {
  const server = await ServerProcess.start({ ...world.environment(), ROLES: roles, CAPTURE: capture });
  processes.push(server);
  return server;
}

async function stateOf(server: ServerProcess): Promise<string | undefined> {
  return (await readinessOf(server.url)).checks['sync']?.state;
}

let written = 0;

async function write(): Promise<void> {
  written += 1;
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET status = $2`, [
    `user${written % 40}@example.com`,
    `s${written}`,
  ]);
}

/** Writes until the returned function is called. */
function keepWriting(): () => Promise<void> {
  let going = true;
  const writing = (async (): Promise<void> => {
    while (going) {
      await write();
      await delay(2);
    }
  })();
  return () => {
    going = false;
    return writing;
  };
}

/** ms until DB2 has a change that is made now. */
async function timeToArrive(): Promise<number> {
  const started = performance.now();
  const email = `probe${written}-${Math.round(started)}@example.com`;
  await world.db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
  await eventually(async () => (await world.db2.query('SELECT FROM subscriptions WHERE email = $1', [email])).rowCount === 1, 30_000);
  return performance.now() - started;
}

test.each([
  ['wal', 'SIGKILL'],
  ['wal', 'SIGSTOP'],
  ['poll', 'SIGSTOP'],
] as const)(
  'a capture by %s that gets %s is replaced, and does no harm if it wakes up',
  async (capture, signal) => {
    await start('replica');
    const first = await start('sync', capture);
    const second = await start('sync', capture);
    expect([await stateOf(first), await stateOf(second)]).toEqual(['running', 'standby']);
    const stop = keepWriting();
    await timeToArrive();
    if (signal === 'SIGKILL') await first.signal(signal);
    else first.pause();
    expect(await timeToArrive()).toBeLessThan(TAKEOVER_MS[signal]);
    expect(await stateOf(second)).toBe('running');
    first.resume();
    if (signal === 'SIGSTOP') await eventually(async () => (await stateOf(first)) === 'standby');
    await stop();
    expect(await disorderIn(world.db1)).toEqual([]);
    await expectEqualDatabases(world);
  },
  90_000,
);

test('replicas that come and go under load, one of them a zombie that wakes up', async () => {
  await world.db2.query(`
    CREATE TABLE setbacks (email text);
    CREATE FUNCTION note_setback() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.version < OLD.version THEN INSERT INTO setbacks VALUES (NEW.email); END IF; RETURN NEW; END $$;
    CREATE TRIGGER note_setback BEFORE UPDATE ON replicated_subscriptions FOR EACH ROW EXECUTE FUNCTION note_setback()`);
  await start('sync');
  const zombie = await start('replica');
  const stop = keepWriting();
  zombie.pause();
  for (let i = 0; i < 3; i += 1) {
    const passing = await start('replica');
    await timeToArrive();
    await passing.signal(i % 2 ? 'SIGKILL' : 'SIGTERM');
  }
  await start('replica');
  await timeToArrive();
  zombie.resume();
  await stop();
  await expectEqualDatabases(world);
  expect((await world.db2.query('SELECT FROM setbacks')).rowCount).toBe(0);
}, 150_000);

import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { Role } from '#config';
import { disorderIn, expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { SHORT_SESSIONS } from '../harness/timings.js';
import { World } from '../harness/world.js';

/**
 * Time limits for a takeover. The operating system closes the connections of a killed process; a stopped process keeps them until
 * PostgreSQL has received nothing for 3 s (production: 8 s).
 */
const TAKEOVER_MS = { SIGKILL: 6_000, SIGSTOP: 10_000 };

/** Pause (ms) between two writes. */
const PAUSE_MS = 25;

/** Servers with their own world, and writes to it. Only those that a test kills or suspends are processes. */
class Deployment {
  private readonly processes: ServerProcess[] = [];
  private readonly inside: World[] = [];
  private written = 0;

  private constructor(readonly world: World) {}

  static lend(work: (deployment: Deployment) => Promise<void>): Promise<void> {
    return World.lend(
      async (world) => {
        const deployment = new Deployment(world);
        await work(deployment).finally(() => deployment.end());
      },
      { timings: SHORT_SESSIONS },
    );
  }

  /** Starts a server in this process. It lasts until the end unless the test stops it. */
  async startInside(role: Role, capture: 'auto' | 'wal' | 'poll' = 'auto'): Promise<World> {
    const world = this.world.beside({ servers: [[role]], capture, timings: SHORT_SESSIONS });
    this.inside.push(world);
    await world.start();
    await world.ready();
    return world;
  }

  async start(role: Role, capture = 'auto'): Promise<ServerProcess> {
    const server = await ServerProcess.start({ ...this.world.environment(), ROLES: role, CAPTURE: capture });
    this.processes.push(server);
    return server;
  }

  /** Writes until the returned function is called. */
  keepWriting(): () => Promise<void> {
    let going = true;
    const writing = (async (): Promise<void> => {
      while (going) {
        this.written += 1;
        await this.world.db1.query(
          `INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET status = $2`,
          [`user${this.written % 40}@example.com`, `s${this.written}`],
        );
        await delay(PAUSE_MS);
      }
    })();
    return () => {
      going = false;
      return writing;
    };
  }

  /** Returns the time (ms) until DB2 has a change that is made now. */
  async timeToArrive(): Promise<number> {
    const { db1, db2 } = this.world;
    const started = performance.now();
    const email = `probe${this.written}-${Math.round(started)}@example.com`;
    await db1.query('INSERT INTO subscriptions (email) VALUES ($1)', [email]);
    await eventually(async () => (await db2.query('SELECT FROM subscriptions WHERE email = $1', [email])).rowCount === 1, 30_000);
    return performance.now() - started;
  }

  private async end(): Promise<void> {
    await Promise.all([...this.processes.map((process) => process.signal('SIGKILL')), ...this.inside.map((world) => world.stop())]);
  }
}

async function stateOf(url: string): Promise<string | undefined> {
  return (await readinessOf(url)).checks['sync']?.state;
}

/** Concurrent: each test waits for the timeout after which a process counts as gone. */
test.concurrent.each([
  ['wal', 'SIGKILL'],
  ['wal', 'SIGSTOP'],
  ['poll', 'SIGSTOP'],
] as const)('a capture by %s that receives %s is replaced, and does no harm if it wakes up', (capture, signal) =>
  Deployment.lend(async (deployment) => {
    await deployment.startInside('replica');
    const first = await deployment.start('sync', capture);
    const { url: second } = await deployment.startInside('sync', capture);
    expect([await stateOf(first.url), await stateOf(second)]).toEqual(['running', 'standby']);
    const stop = deployment.keepWriting();
    await deployment.timeToArrive();
    if (signal === 'SIGKILL') await first.signal(signal);
    else first.pause();
    expect(await deployment.timeToArrive()).toBeLessThan(TAKEOVER_MS[signal]);
    expect(await stateOf(second)).toBe('running');
    first.resume();
    if (signal === 'SIGSTOP') await eventually(async () => (await stateOf(first.url)) === 'standby');
    await stop();
    expect(await disorderIn(deployment.world.db1)).toEqual([]);
    await expectEqualDatabases(deployment.world);
  }),
);

test('no change is lost or undone while replicas join and leave under load, one of them a zombie that wakes up', () =>
  Deployment.lend(async (deployment) => {
    const { world } = deployment;
    await deployment.startInside('sync');
    await world.db2.query(`
    CREATE TABLE setbacks (email text);
    CREATE FUNCTION note_setback() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.version < OLD.version THEN INSERT INTO setbacks VALUES (NEW.email); END IF; RETURN NEW; END $$;
    CREATE TRIGGER note_setback BEFORE UPDATE ON subscription_sync.applied FOR EACH ROW EXECUTE FUNCTION note_setback()`);
    const zombie = await deployment.start('replica');
    const stop = deployment.keepWriting();
    zombie.pause();
    for (const end of ['leave', 'die', 'leave'] as const) {
      const passing = end === 'die' ? await deployment.start('replica') : await deployment.startInside('replica');
      await deployment.timeToArrive();
      await (passing instanceof World ? passing.stop() : passing.signal('SIGKILL'));
    }
    await deployment.startInside('replica');
    await deployment.timeToArrive();
    zombie.resume();
    await stop();
    await expectEqualDatabases(world);
    expect((await world.db2.query('SELECT FROM setbacks')).rowCount).toBe(0);
  }));

import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { sizeOf } from '../harness/long-tests.js';
import { type PartName, Parts } from '../harness/parts.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

/** Duration (ms) of an outage. Shorter outages prove less: clients give up or change their tactics after seconds. */
const OUTAGE_MS = sizeOf({ usual: 8_000, long: 20_000 });
/** Minimum number of writes during an outage, however slow the machine is. */
const MIN_WRITES = 20;
/** Pause (ms) between two writes. */
const PAUSE_MS = 60;
/** Number of processes that are killed, and of rows that others write while each of them is ready. */
const KILLS = sizeOf({ usual: 2, long: 5 });
const WRITTEN_BEFORE_KILL = 300;

/** A server with its own world, and writes to it: one by the API and one by SQL at a time. */
class Outage {
  private written = 0;

  private constructor(readonly world: World) {}

  /** Starts a server with a part of its own. */
  static async lend(part: PartName, work: (outage: Outage, parts: Parts) => Promise<void>): Promise<void> {
    const parts = await Parts.start([part]);
    const run = async (world: World): Promise<void> => {
      await world.start();
      await world.ready();
      await work(new Outage(world), parts);
    };
    await World.lend(run, { parts: parts.addresses }).finally(() => parts.close());
  }

  /** @returns the API's answer. */
  async write(): Promise<number> {
    this.written += 1;
    const response = await fetch(`${this.world.url}/subscriptions/api${this.written}@example.com`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ status: 'active' }),
    });
    await response.arrayBuffer();
    await this.world.db1.query(
      `INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET status = 'paused', plan = $2`,
      [`sql${this.written % 100}@example.com`, String(this.written)],
    );
    return response.status;
  }
}

test.concurrent.each(['kafka', 'db2'] as const)('while %s is away API writes succeed, and everything arrives afterwards', (part) =>
  Outage.lend(part, async (outage, parts) => {
    await outage.write();
    const stopping = parts.stop(part);
    const until = Date.now() + OUTAGE_MS;
    const answers: Record<number, number> = {};
    for (let written = 0; Date.now() < until || written < MIN_WRITES; written += 1) {
      const status = await outage.write();
      answers[status] = (answers[status] ?? 0) + 1;
      await delay(PAUSE_MS);
    }
    await stopping;
    expect(Object.keys(answers)).toEqual(['201']);
    await parts.restart(part);
    await outage.write();
    await expectEqualDatabases(outage.world, 60_000);
  }),
);

test.concurrent('no change is lost when the process is killed repeatedly while others write', () =>
  World.lend(async (world) => {
    let going = true;
    let done = 0;
    const writing = (async (): Promise<void> => {
      for (; going; done += 10) {
        await world.db1.query(
          `INSERT INTO subscriptions (email, status) SELECT 'k' || (i % 700) || '@example.com', 'active' FROM generate_series($1::int, $1::int + 9) i
         ON CONFLICT (email) DO UPDATE SET plan = excluded.email || $1::text`,
          [done],
        );
        await delay(PAUSE_MS / 2);
      }
    })();
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const server = await ServerProcess.start(world.environment());
      const before = done;
      await eventually(() => done >= before + WRITTEN_BEFORE_KILL);
      await server.signal('SIGKILL');
    }
    await world.start();
    await world.ready();
    going = false;
    await writing;
    await expectEqualDatabases(world, 60_000);
  }),
);

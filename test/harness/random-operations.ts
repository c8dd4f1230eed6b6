import { setTimeout as delay } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { World } from './world.js';

/** A seeded random source (mulberry32): a failed run can be repeated from the seed that it prints. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Returns a number from 0 to below 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns a whole number from 0 to below `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Returns the items in random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i -= 1) {
      const j = this.below(i + 1);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }
}

const STATUSES = ['pending', 'trialing', 'active', 'past_due', 'paused', 'canceled', 'expired'] as const;
const HOT_EMAILS = 50;
const LONG_TAIL = 20_000;

/** Errors that concurrent writers or an illegal status transition may cause; the operation then had no effect. */
const EXPECTED_SQLSTATES = new Set(['23505', '40P01', '40001']);
const EXPECTED_HTTP = new Set([200, 201, 204, 404, 409, 503]);

/** Runs one operation of a random kind, by the API or by SQL, on a hot email or one of the long tail. */
export async function randomOperation(world: World, client: PoolClient, random: Random): Promise<void> {
  const email = randomEmail(random);
  const kind = random.below(100);
  try {
    if (kind < 30) await apiOperation(world, random, email);
    else if (kind < 85) await sqlStatement(client, random, email);
    else if (kind < 95) await sqlTransaction(client, random);
    else
      await client.query(`UPDATE subscriptions SET plan = $1 WHERE email = ANY ($2)`, [
        `p${kind}`,
        [1, 2, 3, 4].map(() => randomEmail(random)).sort(),
      ]);
  } catch (error) {
    if (!EXPECTED_SQLSTATES.has(String((error as { code?: unknown }).code))) throw error;
  }
}

function randomEmail(random: Random): string {
  return random.chance(0.7) ? `hot${random.below(HOT_EMAILS)}@example.com` : `tail${random.below(LONG_TAIL)}@example.com`;
}

async function apiOperation(world: World, random: Random, email: string): Promise<void> {
  const send = async (method: string, path: string, body?: unknown): Promise<void> => {
    const response = await fetch(`${world.url}/subscriptions${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    await response.arrayBuffer();
    if (!EXPECTED_HTTP.has(response.status)) throw new Error(`${method} ${path} answered ${response.status}`);
  };
  const path = `/${encodeURIComponent(email)}`;
  const status = random.pick(STATUSES);
  switch (random.below(4)) {
    case 0:
      return send('POST', '', { email: email.toUpperCase(), status, metadata: { n: random.next() } });
    case 1:
      return send('PUT', path, { status, plan: `p${random.below(5)}`, reactivate: true });
    case 2:
      return send('PATCH', path, { status, cancel_at_period_end: random.chance(0.5), reactivate: true });
    default:
      return send('DELETE', path);
  }
}

async function sqlStatement(client: PoolClient, random: Random, email: string): Promise<void> {
  const status = random.pick(STATUSES);
  const value = random.below(1_000_000);
  switch (random.below(8)) {
    case 0:
      return run(client, 'INSERT INTO subscriptions (email, status) VALUES ($1, $2)', [email, status]);
    case 1:
      return run(
        client,
        `INSERT INTO subscriptions (email, status) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET status = excluded.status`,
        [email, status],
      );
    case 2:
      return run(client, 'DELETE FROM subscriptions WHERE email = $1', [email]);
    case 3:
      return run(client, 'UPDATE subscriptions SET status = status WHERE email = $1', [email]);
    case 4:
      return run(client, 'UPDATE subscriptions SET email = $2 WHERE email = $1', [email, randomEmail(random)]);
    case 5:
      return run(
        client,
        `UPDATE subscriptions SET access_until = '2027-01-01T00:00:00Z'::timestamptz + $2 * interval '1 microsecond' WHERE email = $1`,
        [email, value],
      );
    case 6:
      return run(client, `UPDATE subscriptions SET metadata = metadata || jsonb_build_object('k', $2::numeric / 10) WHERE email = $1`, [
        email,
        value,
      ]);
    default:
      return run(client, 'UPDATE subscriptions SET status = $2 WHERE email = $1', [email, status]);
  }
}

/** Runs several statements, some undone by a savepoint; a third of these transactions are rolled back. */
async function sqlTransaction(client: PoolClient, random: Random): Promise<void> {
  await client.query(random.chance(0.2) ? 'BEGIN ISOLATION LEVEL REPEATABLE READ' : 'BEGIN');
  try {
    for (let i = random.below(4); i >= 0; i -= 1) {
      await client.query('SAVEPOINT s');
      const keep = random.chance(0.7);
      await sqlStatement(client, random, randomEmail(random)).catch(async (error: unknown) => {
        if (!EXPECTED_SQLSTATES.has(String((error as { code?: unknown }).code))) throw error;
        await client.query('ROLLBACK TO s');
      });
      if (!keep) await client.query('ROLLBACK TO s');
    }
    await client.query(random.chance(0.33) ? 'ROLLBACK' : 'COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

async function run(client: PoolClient, sql: string, values: unknown[]): Promise<void> {
  await client.query(sql, values);
}

/** Pause (ms) of {@link keepWriting} between two operations of a writer. Without it, the writers take the processors from what is tested. */
const PAUSE_MS = 25;

/** Runs random writes until the returned function is called. */
export function keepWriting(world: World, writers: number): () => Promise<void> {
  let going = true;
  const writing = Array.from({ length: writers }, async (_, seed) => {
    const random = new Random(seed);
    const client = await world.db1.connect();
    while (going) {
      await randomOperation(world, client, random);
      await delay(PAUSE_MS);
    }
    client.release();
  });
  return async () => {
    going = false;
    await Promise.all(writing);
  };
}

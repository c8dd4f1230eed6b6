import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import type { World } from '../../harness/world.js';

export interface Run {
  readonly id: number;
  readonly kind: string;
  readonly reason: string;
  readonly scope: string;
  readonly outcome: string | null;
  readonly paused: boolean;
  readonly yielded: boolean;
  readonly position: string;
  readonly compared: number;
  readonly differing: number;
  readonly repaired: number;
}

/**
 * Makes `row0001@example.com` and so on, with nothing but a status, the only rows of both databases. Rows that are right stay as they
 * are: each change is logged and replicated.
 */
export async function onlyRows(world: World, count: number): Promise<void> {
  const wanted = `SELECT 'row' || lpad(i::text, 4, '0') || '@example.com' FROM generate_series(1, ${count}) i`;
  await world.db1.query(`
    DELETE FROM subscriptions WHERE email NOT IN (${wanted});
    UPDATE subscriptions SET status = 'active', plan = NULL, metadata = '{}'
      WHERE (status, plan, metadata) IS DISTINCT FROM ('active', NULL, '{}'::jsonb);
    INSERT INTO subscriptions (email, status) SELECT email, 'active' FROM (${wanted}) w (email) ON CONFLICT DO NOTHING`);
  await expectEqualDatabases(world);
}

export async function call(world: World, method: 'GET' | 'POST', path: string, body?: object): Promise<{ status: number; run: Run }> {
  const response = await fetch(`${world.url}/reconciliation/${path}`, {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return { status: response.status, run: (await response.json()) as Run };
}

/** Requests a run as soon as no other one is unfinished: the first backfill may be. */
export async function requested(world: World, body: object): Promise<Run> {
  return eventually(async () => {
    const { status, run } = await call(world, 'POST', 'runs', body);
    return status === 409 ? undefined : run;
  }, 60_000);
}

export async function finished(world: World, id: number): Promise<Run> {
  return eventually(async () => {
    const { run } = await call(world, 'GET', `runs/${id}`);
    return run.outcome === null ? undefined : run;
  }, 60_000);
}

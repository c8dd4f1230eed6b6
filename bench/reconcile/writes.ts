import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';

const WRITERS = 4;
const SPACING_MS = 25;

export interface Load {
  /** Updates per second. */
  readonly rate: number;
  /** Percentiles (ms) of the time from DB1's response to a commit until DB2 shows the change. */
  readonly p50: number;
  readonly p99: number;
}

/** Writes as fast as possible for `seconds`, and meanwhile measures how long single changes take to reach DB2. */
export async function measureWrites(db1: Pool, db2: Pool, rows: number, seconds: number): Promise<Load> {
  const until = performance.now() + seconds * 1_000;
  let written = 0;
  const writers = Array.from({ length: WRITERS }, async () => {
    while (performance.now() < until) {
      const version = 1 + Math.floor(Math.random() * rows);
      await db1.query(`UPDATE subscriptions SET plan = $2 WHERE email = md5($1::text) || '@example.com'`, [version, `p${written % 7}`]);
      written += 1;
    }
  });
  const delays: number[] = [];
  while (performance.now() < until) {
    const email = `probe${delays.length % 50}@example.com`;
    const plan = String(delays.length);
    await db1.query('INSERT INTO subscriptions (email, plan) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET plan = excluded.plan', [
      email,
      plan,
    ]);
    delays.push(await seenAfter(db2, email, plan));
    await delay(SPACING_MS);
  }
  await Promise.all(writers);
  delays.sort((a, b) => a - b);
  const at = (share: number): number => delays[Math.floor(delays.length * share)]!;
  return { rate: written / seconds, p50: at(0.5), p99: at(0.99) };
}

async function seenAfter(db2: Pool, email: string, plan: string): Promise<number> {
  const committed = performance.now();
  for (;;) {
    const { rows } = await db2.query<{ plan: string }>('SELECT plan FROM subscriptions WHERE email = $1', [email]);
    if (rows[0]?.plan === plan) return performance.now() - committed;
    await delay(1);
  }
}

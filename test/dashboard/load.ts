import { setTimeout as delay } from 'node:timers/promises';
import type { World } from '../harness/world.js';

/** Number of rows that exist before the load. */
const ROWS = 2_000;
/** Pause (ms) between two transactions. */
const PAUSE_MS = 50;
/** Rows of each ordinary transaction, and of a burst. */
const [BATCH, BURST] = [20, ROWS];

/** Writes to Database 1 for `durationMs`, and does at fixed parts of that time what an operator must see on the dashboard. */
export async function runLoad(world: World, durationMs: number): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'user' || n || '@example.com', 'active' FROM generate_series(1, ${ROWS}) n`,
  );
  const started = Date.now();
  const events = [
    { at: 0.2, happens: () => burst(world) },
    { at: 0.35, happens: () => lockReplica(world, durationMs / 6) },
    { at: 0.6, happens: () => refuseRow(world) },
    { at: 0.7, happens: () => drift(world) },
  ];
  const happening: Promise<void>[] = [];
  for (let round = 0; Date.now() < started + durationMs; round++) {
    while (events[0] && Date.now() >= started + events[0].at * durationMs) happening.push(events.shift()!.happens());
    const first = (round * BATCH) % ROWS;
    await update(world, first, first + BATCH);
    await delay(PAUSE_MS);
  }
  await Promise.all(happening);
}

async function update(world: World, above: number, upTo: number): Promise<void> {
  await world.db1.query(
    `UPDATE subscriptions SET metadata = jsonb_build_object('written', clock_timestamp())
     WHERE email IN (SELECT 'user' || n || '@example.com' FROM generate_series($1::int + 1, $2::int) n)`,
    [above, upTo],
  );
}

async function burst(world: World): Promise<void> {
  await update(world, 0, BURST);
}

/** A program locks the table of Database 2: changes wait in Kafka. */
async function lockReplica(world: World, forMs: number): Promise<void> {
  const client = await world.db2.connect();
  await client.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
  await delay(forMs);
  await client.query('COMMIT');
  client.release();
}

/** Database 2 refuses a row: it becomes a dead letter. */
async function refuseRow(world: World): Promise<void> {
  await world.db2.query('ALTER TABLE subscriptions ADD CONSTRAINT short_plan CHECK (length(plan) < 20) NOT VALID');
  await world.db1.query(`INSERT INTO subscriptions (email, plan) VALUES ('refused@example.com', 'a plan with a long name')`);
}

/** A program writes to Database 2: the next comparison finds and repairs it. */
async function drift(world: World): Promise<void> {
  await world.db2.query(`DELETE FROM subscriptions WHERE email IN ('user1@example.com', 'user2@example.com', 'user3@example.com')`);
}

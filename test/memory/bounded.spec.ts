import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { appliedRecords, expectEqualDatabases, publishedRecords, rateUntil } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { HEAP_LIMIT_MB, WatchedProcess } from '../harness/server-process.js';
import { Parts } from '../harness/parts.js';
import { World } from '../harness/world.js';

/** Time limit (ms) for a step. The tests take minutes of both cores, so they run with `npm run test:long`, not with `npm test`. */
const WITHIN_MS = 900_000;
const TEST_MS = 2 * WITHIN_MS;
const EQUAL_WITHIN_MS = 60_000;
const WRITE_MS = 5_000;

const INSERT = `INSERT INTO subscriptions (email, status) SELECT 'user' || i || '@example.com', 'active' FROM generate_series(1, $1::int) i`;
const UPSERT = `
INSERT INTO subscriptions (email, plan) SELECT 'user' || i || '@example.com', $2 FROM generate_series(1, $1::int) i
ON CONFLICT (email) DO UPDATE SET plan = excluded.plan`;
const SLOW_DB2 = `
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
CREATE TRIGGER be_slow BEFORE INSERT ON subscription_sync.applied FOR EACH STATEMENT EXECUTE FUNCTION be_slow()`;

let world: World;
let processes: WatchedProcess[];
/** The test's own parts, if it takes one away. */
let parts: Parts | undefined;

beforeEach(() => {
  processes = [];
});
afterEach(async () => {
  await Promise.all(processes.map(({ server }) => server.signal('SIGKILL')));
  await world.close();
  await parts?.close();
  parts = undefined;
});

async function start(roles: string): Promise<WatchedProcess> {
  const process = await WatchedProcess.start(world, roles);
  processes.push(process);
  return process;
}

/** Expects that each process ended by itself and stayed well below its memory limit. */
async function expectBounded(...watched: readonly WatchedProcess[]): Promise<void> {
  for (const process of watched) {
    expect(await process.stop()).toEqual({ code: 0, output: '' });
    print(String(process));
    expect(process.peak.heap).toBeGreaterThan(0);
    expect(process.peak.heap).toBeLessThan(HEAP_LIMIT_MB);
  }
}

function print(line: string): void {
  process.stdout.write(`  ${expect.getState().currentTestName}: ${line}\n`);
}

/** Runs writers that change one row at a time by SQL, as fast as they can. @returns changes per second. */
async function writeFor(ms: number, emails: number): Promise<number> {
  let written = 0;
  const until = performance.now() + ms;
  await Promise.all(
    Array.from({ length: 16 }, async (_, writer) => {
      for (let i = 0; performance.now() < until; i += 1) {
        await world.db1.query('UPDATE subscriptions SET plan = $1 WHERE email = $2', [
          `w${i}`,
          `user${1 + ((i * 16 + writer) % emails)}@example.com`,
        ]);
        written += 1;
      }
    }),
  );
  return Math.round((written / ms) * 1_000);
}

test(
  'memory is bounded while Database 2 takes 500 ms a statement and the topic is full of changes',
  async () => {
    const rows = 200_000;
    const changes = rows * 5;
    world = await World.create({ env: { KAFKA_PARTITIONS: '6' } });
    const sync = await start('api,sync');
    await world.db1.query(INSERT, [rows]);
    for (let i = 0; i < 4; i += 1) await world.db1.query('UPDATE subscriptions SET plan = $1', [`p${i}`]);
    await eventually(async () => (await publishedRecords(world)) >= changes, WITHIN_MS);
    await world.db2.query(SLOW_DB2);
    const replica = await start('replica');
    const slow = await rateUntil(() => appliedRecords(world), changes / 2, WITHIN_MS);
    const before = await appliedRecords(world);
    const writes = await writeFor(WRITE_MS, rows);
    const meanwhile = Math.round(((await appliedRecords(world)) - before) / (WRITE_MS / 1_000));
    await world.db2.query('DROP TRIGGER be_slow ON subscription_sync.applied');
    const fast = await rateUntil(() => appliedRecords(world), await publishedRecords(world), WITHIN_MS);
    print(`${changes} behind: ${slow}/s at 500 ms a statement, ${meanwhile}/s while writers make ${writes}/s, ${fast}/s without the delay`);
    expect(meanwhile).toBeGreaterThan(writes);
    await expectEqualDatabases(world, EQUAL_WITHIN_MS);
    await expectBounded(sync, replica);
  },
  TEST_MS,
);

test.each(['wal', 'poll'] as const)(
  'memory is bounded during one transaction of 200,000 rows (%s)',
  async (capture) => {
    world = await World.create({ capture });
    const [sync, replica] = [await start('sync'), await start('replica')];
    const started = performance.now();
    await world.db1.query(INSERT, [200_000]);
    const committed = performance.now();
    await eventually(async () => (await appliedRecords(world)) >= 200_000, WITHIN_MS);
    print(`committed in ${Math.round(committed - started)} ms, in Database 2 ${Math.round(performance.now() - committed)} ms later`);
    await expectEqualDatabases(world, EQUAL_WITHIN_MS);
    await expectBounded(sync, replica);
  },
  TEST_MS,
);

test.each([
  ['rows of 50 KB', 20_000, 50_000],
  ['rows of 9 MB', 60, 9_000_000],
] as const)(
  'memory is bounded with %s',
  async (_what, count, bytes) => {
    world = await World.create({ env: { KAFKA_PARTITIONS: '6' } });
    const [sync, replica] = [await start('sync'), await start('replica')];
    await world.db1.query(
      `INSERT INTO subscriptions (email, metadata) SELECT 'user' || i || '@example.com', jsonb_build_object('text', repeat('é', $2::int / 2))
     FROM generate_series(1, $1::int) i`,
      [count, bytes],
    );
    await eventually(async () => (await appliedRecords(world)) >= count, WITHIN_MS);
    const { rows } = await world.db2.query<{ count: string }>('SELECT count(*) FROM subscriptions WHERE length(metadata::text) > $1', [
      bytes / 2,
    ]);
    expect(Number(rows[0]!.count)).toBe(count);
    await expectBounded(sync, replica);
  },
  TEST_MS,
);

test.each([
  ['killed', 'wal'],
  ['hanging', 'wal'],
  ['killed', 'poll'],
  ['hanging', 'poll'],
] as const)(
  'memory is bounded when Kafka is %s while much is written (%s)',
  async (how, capture) => {
    const changes = 500_000;
    parts = await Parts.start();
    world = await World.create({ parts: parts.addresses, unmigrated: true, capture });
    const [sync, replica] = [await start('sync'), await start('replica')];
    if (how === 'killed') await parts.stop('kafka');
    else parts.pause('kafka');
    for (let i = 0; i < 10; i += 1) await world.db1.query(UPSERT, [changes / 10, `p${i}`]);
    if (how === 'killed') await parts.restart('kafka');
    else parts.resume('kafka');
    const [published, applied] = await Promise.all([
      rateUntil(() => publishedRecords(world), changes, WITHIN_MS),
      rateUntil(() => appliedRecords(world), changes, WITHIN_MS),
    ]);
    const writes = await writeFor(WRITE_MS, changes / 10);
    print(`${changes} caught up: published ${published}/s, applied ${applied}/s; writers make ${writes}/s`);
    expect(Math.min(published, applied)).toBeGreaterThan(writes);
    await expectEqualDatabases(world, EQUAL_WITHIN_MS);
    await expectBounded(sync, replica);
  },
  TEST_MS,
);

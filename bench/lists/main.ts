import 'reflect-metadata';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { DEFAULT_TABLE } from '#config';
import { ROW_COLUMN_NAMES } from '#events';
import { describeTable, migrate, type SubscriptionTable } from '#postgres';
import { db1Options } from '#schema';
import { type ListOptions, listStatement } from '#subscriptions';
import { startPostgres } from '../../apps/standalone/src/postgres.js';
import { pastTriggers } from '../../test/harness/past-triggers.js';

const ROWS = 1_000_000;
/** Number of executions of each case. The plan of the median is printed. */
const EXECUTIONS = 15;

const MIDDLE = 'user0500000@example.com';

/** Each case reads one page of a list of 1,000,000 rows. `rare` is one row of 10,000. A cursor is in the middle of the list. */
const CASES: readonly (readonly [string, Omit<ListOptions, 'limit'>])[] = [
  ['by email, in the middle', { sort: 'email', after: MIDDLE }],
  ['by email, backwards', { sort: '-email', after: MIDDLE }],
  ['a status', { sort: 'email', after: MIDDLE, status: ['active'] }],
  ['all seven statuses', { sort: 'email', status: ['pending', 'trialing', 'active', 'past_due', 'paused', 'canceled', 'expired'] }],
  ['a rare status', { sort: 'email', status: ['rare'] }],
  ['a plan', { sort: 'email', plan: 'pro' }],
  ['a plan that no row has', { sort: 'email', plan: 'none' }],
  ['a status and a plan that no row has', { sort: 'email', status: ['active', 'rare'], plan: 'none' }],
  ['a prefix', { sort: 'email', email_prefix: 'user07' }],
];

const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-bench-'));
chmodSync(folder, 0o755);
const part = await startPostgres({
  name: 'DB1',
  dataDir: join(folder, 'db1'),
  port: 0,
  database: 'postgres',
  flags: ['-c', 'shared_buffers=512MB', '-c', 'max_wal_size=4GB', '-c', 'fsync=off'],
});
const { host, port, user, password } = part;
const dataSource = new DataSource(db1Options({ host, port, user, password, database: 'postgres', poolSize: 1 }));
let table: SubscriptionTable;
try {
  await dataSource.initialize();
  await migrate(dataSource);
  table = await describeTable((sql, parameters) => dataSource.query(sql, parameters), 'DB1', DEFAULT_TABLE);
  await dataSource.destroy();
  const client = new Client({ host, port, user, password, database: 'postgres', options: '-c TimeZone=UTC' });
  await client.connect();
  await client.query(
    pastTriggers(`
    INSERT INTO subscriptions (email, status, plan, metadata, updated_at)
    SELECT 'user' || lpad(n::text, 7, '0') || '@example.com',
           CASE WHEN n % 10000 = 77 THEN 'rare' ELSE (ARRAY['pending', 'trialing', 'active', 'past_due', 'paused', 'canceled', 'expired'])[1 + n % 7] END,
           (ARRAY['pro', 'basic', NULL])[1 + n % 3], jsonb_build_object('source', 'web', 'n', n),
           '2026-01-01'::timestamptz + ((n * 7919::bigint) % ${ROWS}) * interval '1 second'
    FROM generate_series(1, ${ROWS}) n`),
  );
  await client.query('VACUUM (ANALYZE) subscriptions');
  for (const limit of [100, 500]) {
    for (const [name, options] of CASES) await explain(client, `${name}, limit ${limit}`, { ...options, limit }, limit === 500);
  }
  await client.end();
} finally {
  await part.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function explain(client: Client, name: string, options: ListOptions, withPlan: boolean): Promise<void> {
  const { text, values } = listStatement(table, ROW_COLUMN_NAMES, options);
  const runs: { ms: number; plan: string }[] = [];
  for (let i = 0; i < EXECUTIONS; i += 1) {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) ${text}`, values);
    const lines = rows.map((row) => row['QUERY PLAN']);
    const of = (what: string): number =>
      Number(new RegExp(`^${what} Time: ([\\d.]+) ms`).exec(lines.find((line) => line.startsWith(what))!)![1]);
    runs.push({ ms: of('Planning') + of('Execution'), plan: lines.join('\n') });
  }
  const median = runs.sort((a, b) => a.ms - b.ms)[EXECUTIONS >> 1]!;
  const { rowCount } = await client.query(text, values);
  console.log(`| ${name} | ${runs[0]!.ms.toFixed(2)} | ${median.ms.toFixed(2)} | ${runs.at(-1)!.ms.toFixed(2)} | ${rowCount} |`);
  if (withPlan) console.log(`\n${median.plan}\n`);
}

import type { World } from './world.js';
import { eventually } from './eventually.js';

/** Every live row with all that both databases show, as text: no time or number passes through JavaScript. */
const ROWS = `
SELECT concat_ws(' | ', email, status, plan, access_until, cancel_at_period_end, metadata, version, created_at, updated_at) AS row
FROM subscriptions ORDER BY email COLLATE "C"`;
/** Asked often, and of tables that may be large: what is cheap first, and the rows themselves when they are not equal in time. */
const COUNT = `SELECT count(*) || ' ' || coalesce(sum(version), 0) AS fingerprint FROM subscriptions`;
const FINGERPRINT = `SELECT count(*) || ' ' || coalesce(md5(string_agg(row, E'\\n')), '') AS fingerprint FROM (${ROWS}) rows`;

/** Whether the query tells the same of both databases. */
async function areEqualIn({ db1, db2 }: World, query: string): Promise<boolean> {
  const [first, second] = await Promise.all([db1, db2].map((pool) => pool.query<{ fingerprint: string }>(query)));
  return first!.rows[0]!.fingerprint === second!.rows[0]!.fingerprint;
}

/** A full comparison, now. */
export async function areEqual(world: World): Promise<boolean> {
  return (await areEqualIn(world, COUNT)) && areEqualIn(world, FINGERPRINT);
}

async function rowsOf(pool: World['db1']): Promise<string[]> {
  const { rows } = await pool.query<{ row: string }>(ROWS);
  return rows.map(({ row }) => row);
}

/** Full comparison of both databases, within a deadline. */
export async function expectEqualDatabases(world: World, withinMs = 30_000): Promise<void> {
  await eventually(() => areEqual(world), withinMs).catch(() => undefined);
  if (await areEqual(world)) return;
  const { db1, db2 } = world;
  const [rows1, rows2] = await Promise.all([rowsOf(db1), rowsOf(db2)]);
  const [set1, set2] = [new Set(rows1), new Set(rows2)];
  const differing = [
    ...rows1.filter((row) => !set2.has(row)).map((row) => `DB1 ${row}`),
    ...rows2.filter((row) => !set1.has(row)).map((row) => `DB2 ${row}`),
  ];
  throw new Error(`${differing.length} rows differ after ${withinMs} ms:\n${differing.slice(0, 8).join('\n')}`);
}

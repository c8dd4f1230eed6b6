import type { World } from './world.js';
import { eventually } from './eventually.js';

/** Every live row with all that both databases show, as text: no time or number passes through JavaScript. */
const ROWS = `
SELECT concat_ws(' | ', email, status, plan, access_until, cancel_at_period_end, metadata, version, created_at, updated_at) AS row
FROM subscriptions ORDER BY email COLLATE "C"`;
/** Asked often, and of tables that may be large: the rows themselves are fetched when they are not equal in time. */
const FINGERPRINT = `SELECT count(*) || ' ' || coalesce(md5(string_agg(row, E'\\n')), '') AS fingerprint FROM (${ROWS}) rows`;

async function fingerprintOf(pool: World['db1']): Promise<string> {
  return (await pool.query<{ fingerprint: string }>(FINGERPRINT)).rows[0]!.fingerprint;
}

async function rowsOf(pool: World['db1']): Promise<string[]> {
  const { rows } = await pool.query<{ row: string }>(ROWS);
  return rows.map(({ row }) => row);
}

/** Full comparison of both databases, within a deadline. */
export async function expectEqualDatabases({ db1, db2 }: World, withinMs = 30_000): Promise<void> {
  const areEqual = async (): Promise<boolean> => {
    const [first, second] = await Promise.all([fingerprintOf(db1), fingerprintOf(db2)]);
    return first === second;
  };
  await eventually(areEqual, withinMs).catch(() => undefined);
  if (await areEqual()) return;
  const [rows1, rows2] = await Promise.all([rowsOf(db1), rowsOf(db2)]);
  const [set1, set2] = [new Set(rows1), new Set(rows2)];
  const differing = [
    ...rows1.filter((row) => !set2.has(row)).map((row) => `DB1 ${row}`),
    ...rows2.filter((row) => !set1.has(row)).map((row) => `DB2 ${row}`),
  ];
  throw new Error(`${differing.length} rows differ after ${withinMs} ms:\n${differing.slice(0, 8).join('\n')}`);
}

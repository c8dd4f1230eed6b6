import { expect } from '@jest/globals';
import type { World } from './world.js';
import { eventually } from './eventually.js';

/** Every live row with all that both databases show, as text: no time or number passes through JavaScript. */
const ROWS = `
SELECT concat_ws(' | ', email, status, plan, access_until, cancel_at_period_end, metadata, version, created_at, updated_at) AS row
FROM subscriptions ORDER BY email COLLATE "C"`;

async function rowsOf(pool: World['db1']): Promise<string[]> {
  const { rows } = await pool.query<{ row: string }>(ROWS);
  return rows.map(({ row }) => row);
}

/** Full comparison of both databases, within a deadline. */
export async function expectEqualDatabases(world: World, withinMs = 30_000): Promise<void> {
  await eventually(async () => {
    const [rows1, rows2] = await Promise.all([rowsOf(world.db1), rowsOf(world.db2)]);
    const [set1, set2] = [new Set(rows1), new Set(rows2)];
    const differing = [
      ...rows1.filter((row) => !set2.has(row)).map((row) => `DB1 ${row}`),
      ...rows2.filter((row) => !set1.has(row)).map((row) => `DB2 ${row}`),
    ];
    if (differing.length > 0) throw new Error(`${differing.length} rows differ:\n${differing.slice(0, 8).join('\n')}`);
    return true;
  }, withinMs);
  expect(await rowsOf(world.db2)).toEqual(await rowsOf(world.db1));
}

import { expect } from '@jest/globals';
import { escapeIdentifier, type Pool } from 'pg';
import { eventually } from '../../harness/eventually.js';
import type { World } from '../../harness/world.js';
import { finished, requested } from '../reconciliation/runs.js';

/** The users' own types, and those of extensions. */
export const TYPES = `
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION cube; CREATE EXTENSION isn;
CREATE TYPE mood AS ENUM ('it''s', 'comma, "quoted"', 'back\\slash', 'Ünïcode');
CREATE TYPE place AS (street text, "House no" int, at point);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE DOMAIN short AS text CHECK (length(VALUE) <= 5);
CREATE DOMAIN positive AS int NOT NULL CHECK (VALUE > 0);
CREATE DOMAIN weekdays AS int[] CHECK (array_length(VALUE, 1) <= 7)`;

/** Runs a query in a session that prints values exactly. */
export async function exact(pool: Pool, query: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = await pool.connect();
  try {
    await client.query(`SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC; SET extra_float_digits = 1; SET bytea_output = hex;
      SET lc_monetary = 'C'; SET xmloption = content; SET array_nulls = on; SET quote_all_identifiers = off`);
    return (await client.query<Record<string, unknown>>(query, values)).rows;
  } finally {
    client.release(true);
  }
}

export const textOf = (columns: readonly { readonly name: string }[]): string =>
  columns.map(({ name }) => `s.${escapeIdentifier(name)}::text AS ${escapeIdentifier(name)}`).join(', ');
export const definitions = (columns: readonly { readonly name: string; readonly type: string }[]): string =>
  columns.map(({ name, type }) => `${escapeIdentifier(name)} ${type}`).join(',\n');

/** Expects that a query has the same result in both databases within a time limit. */
export async function expectEqual(world: World, query: string): Promise<void> {
  const read = async (pool: Pool): Promise<string[]> => (await exact(pool, query)).map((row) => JSON.stringify(row));
  const expected = await read(world.db1);
  await eventually(async () => (await read(world.db2)).join() === expected.join(), 20_000).catch(() => undefined);
  const differing = (rows: readonly string[], others: readonly string[]): string[] =>
    rows.filter((row) => !others.includes(row)).slice(0, 3);
  const found = await read(world.db2);
  expect({ count: found.length, wrong: differing(found, expected) }).toEqual({ count: expected.length, wrong: [] });
}

export async function expectRun(world: World, result: object): Promise<void> {
  const run = await requested(world, {});
  expect(await finished(world, run.id)).toMatchObject(result);
}

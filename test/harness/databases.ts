import { readFileSync } from 'node:fs';
import addFormats from 'ajv-formats';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Pool } from 'pg';
import { CANARY_EMAIL, decodeEvent, eventText, LOGGED_COLUMNS, type LoggedChange as Logged } from '#events';
import { eventually } from './eventually.js';
import type { World } from './world.js';

/** FROM item of the rows of Database 2, each with its version. */
export const DB2_ROWS =
  '(SELECT s.*, a.version FROM subscriptions s LEFT JOIN subscription_sync.applied a ON a.email = s.email::text COLLATE "C") subscriptions';

/** Selects every live row with all columns that both databases have, as text: no time or number passes through JavaScript. */
const ROWS = `
SELECT concat_ws(' | ', email, status, plan, access_until, cancel_at_period_end, metadata, created_at, updated_at) AS row
FROM subscriptions ORDER BY email COLLATE "C"`;
/** Cheap comparison, because it is made often and on large tables. The rows themselves are read only when they are not equal in time. */
const COUNT = `SELECT count(*) || ' ' || coalesce(sum(extract(epoch FROM updated_at)), 0) AS fingerprint FROM subscriptions`;
const FINGERPRINT = `SELECT count(*) || ' ' || coalesce(md5(string_agg(row, E'\\n')), '') AS fingerprint FROM (${ROWS}) rows`;

/** Returns whether the query has the same result in both databases. */
async function areEqualIn({ db1, db2 }: World, query: string): Promise<boolean> {
  const [first, second] = await Promise.all([db1, db2].map((pool) => pool.query<{ fingerprint: string }>(query)));
  return first!.rows[0]!.fingerprint === second!.rows[0]!.fingerprint;
}

/** Compares both databases completely, once. */
export async function areEqual(world: World): Promise<boolean> {
  return (await areEqualIn(world, COUNT)) && areEqualIn(world, FINGERPRINT);
}

async function rowsOf(pool: World['db1']): Promise<string[]> {
  const { rows } = await pool.query<{ row: string }>(ROWS);
  return rows.map(({ row }) => row);
}

/** Expects that both databases become equal within a time limit. */
export async function expectEqualDatabases(world: World, withinMs = 60_000): Promise<void> {
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

/** A row of DB1's change log, with its event parsed. */
export interface LoggedChange {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  readonly actor: string;
  readonly reason: string | null;
  readonly origin: string;
  readonly application_name: string | null;
  readonly traceparent: string | null;
  /** The event's text. */
  readonly event: string;
  readonly image: Readonly<Record<string, unknown>>;
  readonly previous: Readonly<Record<string, unknown>>;
}

const ajv = new Ajv2020();
addFormats.default(ajv);
const fitsSchema = ajv.compile(JSON.parse(readFileSync('docs/subscription-event.schema.json', 'utf8')) as object);

/** Reads the log in order. Throws when an event violates the published schema, or is decoded differently by the reader of the topic. */
export async function changesOf(db1: Pool): Promise<LoggedChange[]> {
  const { rows } = await db1.query<Omit<Logged, 'version'> & { readonly version: number; readonly application_name: string | null }>(
    `SELECT ${LOGGED_COLUMNS.join(', ')}, version::int, occurred_at::text, application_name FROM subscription_sync.changes c ORDER BY c.version`,
  );
  return rows.map((row) => {
    const text = eventText(row);
    const event = JSON.parse(text) as { data: { subscription: Record<string, unknown>; previous: Record<string, unknown> } };
    if (!fitsSchema(event)) throw new Error(`Violates the schema: ${ajv.errorsText(fitsSchema.errors)}: ${text}`);
    const read = decodeEvent(Buffer.from(row.email), Buffer.from(text));
    if (read.version !== row.version || read.operation !== row.operation) throw new Error(`Decoded differently: ${text}`);
    return { ...row, event: text, image: event.data.subscription, previous: event.data.previous };
  });
}

/** Returns the operations with their emails, in order: `created ada@example.com`. */
export async function storyOf(db1: Pool): Promise<string[]> {
  return (await changesOf(db1)).map(({ operation, email }) => `${operation} ${email}`);
}

interface HistoryEntry {
  readonly version: number;
  readonly operation: string;
  readonly email: string;
  readonly image: string;
}

/**
 * Returns contradictions in the log, per email and in the order of versions: created while alive, changed or deleted while deleted, or
 * a last change that differs from the row. Empty when every history is in order.
 */
export async function disorderIn(db1: Pool): Promise<string[]> {
  const { rows: log } = await db1.query<HistoryEntry>(
    'SELECT version::int, operation, email, image::jsonb::text AS image FROM subscription_sync.changes WHERE email <> $1 ORDER BY email, version',
    [CANARY_EMAIL],
  );
  const { rows: table } = await db1.query<{ email: string; image: string }>(
    'SELECT subscription_sync.normalize_email(email) AS email, to_jsonb(s)::text AS image FROM subscriptions s',
  );
  const live = new Map<string, string>();
  const found: string[] = [];
  for (const { version, operation, email, image } of log) {
    const alive = live.has(email);
    if (alive === (operation === 'created')) found.push(`${email}: ${operation} at ${version} while ${alive ? 'alive' : 'dead'}`);
    if (operation === 'deleted') live.delete(email);
    else live.set(email, image);
  }
  for (const { email, image } of table) {
    if (live.get(email) !== image) found.push(`${email}: the row is ${image}, the log ends with ${live.get(email) ?? 'a deletion'}`);
    live.delete(email);
  }
  for (const email of live.keys()) found.push(`${email}: is alive in the log only`);
  return found;
}

/** Returns the number of records that the replica has processed, over all partitions. */
export async function appliedRecords(world: World): Promise<number> {
  const { rows } = await world.db2.query<{ count: string }>(
    `SELECT coalesce(sum("offset" + 1), 0) AS count FROM subscription_sync.positions`,
  );
  return Number(rows[0]!.count);
}

/** Returns the number of records on the topic. */
export async function publishedRecords(world: World): Promise<number> {
  const admin = world.kafka.admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(world.topic);
    return offsets.reduce((sum, { high }) => sum + Number(high), 0);
  } finally {
    await admin.disconnect();
  }
}

/** Returns the rate (per second) at which `count` reaches `target`. */
export async function rateUntil(count: () => Promise<number>, target: number, withinMs: number): Promise<number> {
  // A broker that has just come back may not lead its partitions yet.
  const first = await eventually(count);
  const started = performance.now();
  await eventually(async () => (await count()) >= target, withinMs);
  return Math.round(((target - first) / (performance.now() - started)) * 1_000);
}

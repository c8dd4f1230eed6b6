import type { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { eventText, LOGGED_COLUMNS, type LoggedChange } from '#events';
import { BYTES, lastDrawnVersion, LOGGED_TEXTS } from './log-queries.js';
import { formatSnapshot, parseSnapshot, type Snapshot } from './snapshot.js';

/** One row of the change log, on its way to Kafka. */
export interface Change {
  readonly version: number;
  /** The message's key. */
  readonly email: string;
  /** The event's text, UTF-8. */
  readonly event: Buffer;
  /** When the change was made, as PostgreSQL prints it in UTC. */
  readonly occurredAt: string;
  /** W3C trace context of the request or the transaction that made the change. Any program may have set it to any text. */
  readonly traceparent: string | null;
}

/** Maximum size of a batch that is read, buffered or sent. One change may exceed the bytes; it is then a batch of its own. */
export const BATCH = {
  /** kafkajs assigns a batch to partitions in quadratic time: 2,000 made the whole pipeline 10 % slower, 500 made it no faster. */
  changes: 1_000,
  /** Below the broker's default limit for a record batch (1 MB): all changes of a batch may go to one partition. */
  bytes: 768 * 1024,
} as const;

/** A change as it is read from the log, and the transaction that made it. */
interface LogRow extends LoggedChange {
  /** bigint, which pg returns as text. */
  readonly version: string;
  readonly txid: string;
}

/**
 * Reads a set of transactions in chunks, by txid and version: each chunk starts where the last one ended, in the index (txid, version), so a
 * window of a million rows costs as much per row as one of ten. The sum of the lengths keeps a chunk within BATCH.bytes, except for its first
 * row. The upper bound by xmax ends the scan: what was written since may be millions of rows.
 *
 * Chunks follow transactions; within a chunk, {@link readChunks} sorts the changes by version, which is the log's order.
 */
const chunk = (transactions = 'true'): string => `
WITH rows AS MATERIALIZED (
  SELECT ${LOGGED_COLUMNS.join(', ')}, txid
  FROM subscription_sync.changes
  WHERE (txid, version) > ($1::xid8, $2::bigint) AND txid < pg_snapshot_xmax($3::pg_snapshot) AND pg_visible_in_snapshot(txid, $3::pg_snapshot) AND ${transactions}
  ORDER BY txid, version
  LIMIT ${BATCH.changes}
), sized AS (
  SELECT *, row_number() OVER w AS n, sum(${BYTES}) OVER w AS bytes FROM rows WINDOW w AS (ORDER BY txid, version)
)
SELECT ${LOGGED_TEXTS}, txid::text AS txid
FROM sized r WHERE n = 1 OR bytes <= ${BATCH.bytes}
ORDER BY n`;

const STARTED_SINCE = { name: 'read-log-started', text: chunk() };
const RUNNING_THEN = { name: 'read-log-running', text: chunk('txid = ANY ($4::xid8[])') };

/** A position in the index (txid, version). Versions are never negative. */
type IndexPosition = readonly [txid: string, version: string];

/**
 * Yields every change that became visible between two snapshots, each exactly once: the changes of transactions that were running in `from`
 * or had not started then, and are over in `to`. A cursor on an ascending id would lose changes that commit late; waiting for the oldest
 * running transaction would delay all others behind one long transaction.
 *
 * Each chunk is read by a short statement of its own, so that nothing holds back vacuum while Kafka is slow. Rows that such a statement sees
 * beyond `to` are left for the next window.
 */
export async function* readLog(client: Client, from: Snapshot, to: Snapshot): AsyncGenerator<Change[], void, void> {
  const until = formatSnapshot(to);
  if (from.running.length > 0) yield* readChunks(client, RUNNING_THEN, ['0', '-1'], [until, from.running.map(String)]);
  yield* readChunks(client, STARTED_SINCE, [String(from.xmax), '-1'], [until]);
}

async function* readChunks(
  client: Client,
  statement: { name: string; text: string },
  start: IndexPosition,
  values: readonly unknown[],
): AsyncGenerator<Change[], void, void> {
  for (let after = start; ;) {
    const { rows } = await client.query<LogRow>({ ...statement, values: [...after, ...values] });
    const last = rows.at(-1);
    if (!last) return;
    yield rows.map(toChange).sort((a, b) => a.version - b.version);
    after = [last.txid, last.version];
  }
}

/** Returns a change of the log with its event's text. */
export function toChange(logged: LoggedChange): Change {
  return {
    version: Number(logged.version),
    email: logged.email,
    event: Buffer.from(eventText(logged)),
    occurredAt: logged.occurred_at,
    traceparent: logged.traceparent,
  };
}

/** Takes a snapshot of this moment: what a new statement would see. */
export async function currentSnapshot(client: Client): Promise<Snapshot> {
  const { rows } = await client.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
  return parseSnapshot(rows[0]!.snapshot);
}

const CHANGED_CHUNK_ROWS = 2_000;

interface ChangedEmailRow {
  readonly txid: string;
  readonly version: number;
  readonly email: string;
}

/**
 * Selects the changes of transactions that are not visible in $1, in the order of the log's index. A later call returns the changes of
 * transactions that are open now.
 */
const SELECT_CHANGED = `
SELECT c.txid::text AS txid, c.version, c.email FROM subscription_sync.changes c
WHERE c.txid >= pg_snapshot_xmin($1::pg_snapshot) AND (c.txid, c.version) > ($2::xid8, $3) AND NOT pg_visible_in_snapshot(c.txid, $1::pg_snapshot)
ORDER BY c.txid, c.version`;

/**
 * Estimates how many changes the log has since a snapshot of DB1: how many versions were drawn since the first of them. Reads one entry of the
 * log's index, however many they are.
 */
export async function changesSince(db1: DataSource, since: string): Promise<number> {
  const [first] = await db1.query<ChangedEmailRow[]>(`${SELECT_CHANGED} LIMIT 1`, [since, '0', 0]);
  return first ? (await lastDrawnVersion(db1)) - first.version + 1 : 0;
}

/** Yields the emails that changed since a snapshot of DB1, in chunks. An email may occur twice. */
export async function* changedEmails(db1: DataSource, since: string): AsyncGenerator<string[]> {
  let [txid, version] = ['0', 0];
  for (;;) {
    const rows = await db1.query<ChangedEmailRow[]>(`${SELECT_CHANGED} LIMIT ${CHANGED_CHUNK_ROWS}`, [since, txid, version]);
    if (rows.length > 0) yield [...new Set(rows.map(({ email }) => email))];
    if (rows.length < CHANGED_CHUNK_ROWS) return;
    ({ txid, version } = rows.at(-1)!);
  }
}

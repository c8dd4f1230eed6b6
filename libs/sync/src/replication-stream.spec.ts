import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { BATCH, type Change } from '#change-log';
import { DEFAULT_TIMINGS, type SyncTimings } from '#config';
import { eventually } from '../../../test/harness/eventually.js';
import { World } from '../../../test/harness/world.js';
import { ensurePublication, PUBLICATION } from './replication-slot.js';
import { ReplicationStream } from './replication-stream.js';

const WAIT_MS = 5_000;

let world: World;
let client: Client;
let stream: ReplicationStream | undefined;

beforeEach(async () => {
  world = await World.create();
  client = await connect();
  await ensurePublication(client);
  await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [world.name]);
});

afterEach(async () => {
  await stream?.close();
  stream = undefined;
  await client.end();
  await world.close();
});

async function connect(): Promise<Client> {
  const other = new Client({ ...world.addresses.db1, database: world.name });
  await other.connect();
  return other;
}

/** Opens a new connection to the slot, as a restarted reader does. */
async function reopen(timings: Partial<SyncTimings> = {}): Promise<ReplicationStream> {
  await stream?.close();
  const settings = { ...world.addresses.db1, database: world.name, poolSize: 1 };
  stream = new ReplicationStream(settings, world.name, PUBLICATION, { ...DEFAULT_TIMINGS.sync, ...timings });
  const opened = stream;
  // The server may need a moment to notice that the last reader is gone.
  await eventually(async () => {
    const { rows } = await client.query<{ active: boolean }>('SELECT active FROM pg_replication_slots WHERE slot_name = $1', [world.name]);
    return !rows[0]!.active;
  });
  await opened.connect();
  opened.start();
  return opened;
}

async function read(count: number): Promise<Change[]> {
  const changes: Change[] = [];
  while (changes.length < count) {
    const more = await stream!.next(WAIT_MS);
    if (more.length === 0) throw new Error(`Only ${changes.length} of ${count} changes were received`);
    changes.push(...more);
  }
  return changes;
}

async function confirmedByServer(): Promise<bigint> {
  const { rows } = await client.query<{ lsn: string }>(
    `SELECT (confirmed_flush_lsn - '0/0')::text AS lsn FROM pg_replication_slots WHERE slot_name = $1`,
    [world.name],
  );
  return BigInt(rows[0]!.lsn);
}

test('a transaction that commits right after the confirmed one is not skipped', async () => {
  const [a, b] = [await connect(), await connect()];
  for (let round = 0; round < 30; round += 1) {
    const opened = await reopen();
    for (const [session, name] of [
      [a, 'a'],
      [b, 'b'],
    ] as const) {
      await session.query('BEGIN');
      await session.query('INSERT INTO subscriptions (email, status) VALUES ($1, $2)', [`${name}${round}@example.com`, 'active']);
    }
    // Concurrently, so that one commit record follows the other without a gap.
    await Promise.all([a.query('COMMIT'), b.query('COMMIT')]);
    const seen = await read(2);
    opened.published(1);
    opened.confirm(opened.position!);
    await eventually(async () => (await confirmedByServer()) >= opened.position!);
    await reopen();
    expect((await read(1))[0]!.email).toBe(seen[1]!.email);
    stream!.published(1);
    stream!.confirm(stream!.position!);
  }
  await Promise.all([a.end(), b.end()]);
});

test('answers to keep-alives do not confirm what is not published', async () => {
  const before = await confirmedByServer();
  await reopen({ senderTimeoutMs: 400 });
  await client.query(`INSERT INTO subscriptions (email, status) VALUES ('a@example.com', 'active')`);
  await read(1);
  // Kafka is down: nothing is published, but the server writes WAL and requests answers.
  const replies = new Set<string>();
  await eventually(async () => {
    await client.query(`CREATE TABLE IF NOT EXISTS noise (n integer)`);
    await client.query('INSERT INTO noise VALUES (1)');
    const { rows } = await client.query<{ at: string }>(
      `SELECT reply_time::text AS at FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE slot_name = $1`,
      [world.name],
    );
    if (rows[0]?.at) replies.add(rows[0].at);
    return replies.size >= 4;
  });
  expect(await confirmedByServer()).toBe(before);
  await reopen();
  expect((await read(1))[0]!.email).toBe('a@example.com');
});

test('a new connection in the same process starts at the confirmed position, not at the received one', async () => {
  await client.query(`INSERT INTO subscriptions (email, status) SELECT 'x' || i || '@example.com', 'active' FROM generate_series(1, 50) i`);
  await reopen();
  await read(50);
  await client.query(`INSERT INTO subscriptions (email, status) VALUES ('last@example.com', 'active')`);
  await reopen();
  expect(await read(51)).toHaveLength(51);
});

test('memory is bounded: reading pauses while nothing is taken, and resumes afterwards', async () => {
  await reopen();
  const rows = 60_000;
  await client.query(
    `INSERT INTO subscriptions (email, status) SELECT 'x' || i || '@example.com', 'active' FROM generate_series(1, ${rows}) i`,
  );
  await eventually(() => stream!.buffered >= 20_000);
  const emails = new Set<string>();
  let maxBuffered = 0;
  while (emails.size < rows) {
    maxBuffered = Math.max(maxBuffered, stream!.buffered);
    for (const { email } of await stream!.next(WAIT_MS)) emails.add(email);
  }
  // One read of the socket may exceed the limit.
  expect(maxBuffered).toBeLessThan(25_000);
});

test('changes that follow a batch are gathered', async () => {
  await reopen({ gatherMs: 1_000 });
  const insert = (name: string): Promise<unknown> => client.query('INSERT INTO subscriptions (email) VALUES ($1)', [`${name}@example.com`]);
  await insert('first');
  expect(await stream!.next(WAIT_MS)).toHaveLength(1);
  for (const name of ['a', 'b', 'c']) await insert(name);
  expect(await stream!.next(WAIT_MS)).toHaveLength(3);
});

test('no time is spent on gathering by the first change, by a full batch and after an interruption', async () => {
  await reopen({ gatherMs: 3_600_000 });
  const insert = (name: string, rows: number): Promise<unknown> =>
    client.query(`INSERT INTO subscriptions (email) SELECT $1 || i || '@example.com' FROM generate_series(1, $2::int) i`, [name, rows]);
  await insert('first', 1);
  expect(await stream!.next(WAIT_MS)).toHaveLength(1);
  await insert('full', BATCH.changes);
  expect(await stream!.next(WAIT_MS)).toHaveLength(BATCH.changes);
  await insert('last', 1);
  const interrupted = stream!.next(WAIT_MS);
  stream!.interrupt();
  await interrupted;
});

test('when the server ends the connection, next() throws once the buffer is empty', async () => {
  await reopen();
  await eventually(async () => {
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active`,
      [world.name],
    );
    return rowCount === 1;
  });
  await expect(stream!.next(WAIT_MS)).rejects.toThrow();
});

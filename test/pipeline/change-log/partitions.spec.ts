import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { createPartitionsAhead, pruneLog, selectNewestChange } from '#change-log';
import { CANARY_EMAIL } from '#events';
import { db1ConnectionOptions } from '#postgres';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;
let db1: DataSource;

beforeAll(async () => {
  world = await World.create({ env: { LOG_RETENTION_DAYS: '1' } });
  db1 = new DataSource(db1ConnectionOptions({ ...world.addresses.db1, database: world.name, poolSize: 2 }));
  await db1.initialize();
});
afterAll(async () => {
  await db1.destroy();
  await world.close();
});
beforeEach(() =>
  query(
    'DELETE FROM subscriptions; DELETE FROM subscription_sync.changes; DELETE FROM subscription_sync.pruned_changes; DELETE FROM subscription_sync.checkpoint',
  ),
);

const query = async (sql: string): Promise<Record<string, unknown>[]> => (await world.db1.query<Record<string, unknown>>(sql)).rows;

async function partitions(): Promise<string[]> {
  const rows = await query(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'subscription_sync.changes'::regclass ORDER BY 1`,
  );
  return rows.map(({ name }) => String(name));
}

/** Returns the name of the partition of the month that is `offset` months from now. */
function month(offset: number): string {
  const now = new Date();
  const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1));
  return `subscription_sync.changes_${first.toISOString().slice(0, 7).replace('-', '_')}`;
}

test('a new log has partitions for this month and the next two, and a default partition', async () => {
  expect(await partitions()).toEqual([...[0, 1, 2].map(month), 'subscription_sync.changes_default'].sort());
  await query(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
  expect(await query('SELECT tableoid::regclass::text AS partition FROM subscription_sync.changes')).toEqual([{ partition: month(0) }]);
});

test('the missing partition of a month is created while programs write: no write fails, and rows of the default partition are moved', async () => {
  await query(`DROP TABLE ${month(0)}`);
  const stop = new AbortController();
  const written = Array.from({ length: 6 }, async (_, writer) => {
    await query(`INSERT INTO subscriptions (email) VALUES ('w${writer}@example.com')`);
    let changes = 1;
    for (; !stop.signal.aborted; changes += 1)
      await query(`UPDATE subscriptions SET status = 's${changes}' WHERE email = 'w${writer}@example.com'`);
    return changes;
  });
  await eventually(async () => (await query('SELECT FROM subscription_sync.changes_default')).length > 200);
  await eventually(async () => createPartitionsAhead(db1, new Date()).then(() => true));
  await eventually(async () => (await query(`SELECT FROM ${month(0)}`)).length > 600);
  stop.abort();
  const changes = (await Promise.all(written)).reduce((sum, count) => sum + count, 0);
  expect(await query('SELECT count(*)::int AS n, count(DISTINCT version)::int AS versions FROM subscription_sync.changes')).toEqual([
    { n: changes, versions: changes },
  ]);
  expect(await query('SELECT FROM subscription_sync.changes_default')).toEqual([]);
});

test('a writer that keeps a lock on the log makes maintenance wait, not the other way round', async () => {
  await query(`DROP TABLE ${month(0)}`);
  const client = await world.db1.connect();
  await client.query(`BEGIN; INSERT INTO subscriptions (email) VALUES ('long@example.com')`);
  await expect(createPartitionsAhead(db1, new Date())).rejects.toMatchObject({ code: '55P03' });
  await query(`INSERT INTO subscriptions (email) VALUES ('other@example.com')`);
  await client.query('COMMIT');
  client.release();
  await createPartitionsAhead(db1, new Date());
  expect(await query(`SELECT FROM ${month(0)}`)).toHaveLength(2);
});

test('a month is dropped when it is older than the retention and completely published, never before', async () => {
  await query(`
    CREATE TABLE subscription_sync.changes_2020_01 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z');
    INSERT INTO subscription_sync.changes (version, operation, email, image, actor, origin, occurred_at)
    VALUES (nextval('subscription_sync.version'), 'created', 'old@example.com', '{}', 'test', 'sql', '2020-01-15Z')`);
  const now = new Date();
  expect(await pruneLog(db1, now, 30)).toEqual([]);
  await query(`INSERT INTO subscription_sync.checkpoint (published_snapshot) SELECT (xid || ':' || xid || ':')::pg_snapshot
    FROM (SELECT min(txid::text::bigint) AS xid FROM subscription_sync.changes) x`);
  expect(await pruneLog(db1, now, 30)).toEqual([]);
  await query('UPDATE subscription_sync.checkpoint SET published_snapshot = pg_current_snapshot()');
  expect(await pruneLog(db1, new Date('2020-02-20Z'), 30)).toEqual([]);
  expect(await pruneLog(db1, now, 30)).toEqual(['subscription_sync.changes_2020_01']);
  expect(await partitions()).toEqual([...[0, 1, 2].map(month), 'subscription_sync.changes_default'].sort());
});

test('the newest change of an email is kept when its month is dropped, unless the log has a newer one', async () => {
  const past = (month: string, email: string): string => `
    INSERT INTO subscription_sync.changes (version, operation, email, image, actor, origin, occurred_at)
    VALUES (nextval('subscription_sync.version'), 'created', '${email}', '{"at": "${month}"}', 'test', 'sql', '${month}-15Z');`;
  await query(`
    CREATE TABLE subscription_sync.changes_2020_01 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z');
    CREATE TABLE subscription_sync.changes_2020_02 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2020-02-01Z') TO ('2020-03-01Z')`);
  for (const email of ['once@example.com', 'twice@example.com', 'twice@example.com', 'later@example.com', CANARY_EMAIL])
    await query(past('2020-01', email));
  await query(past('2020-02', 'twice@example.com'));
  await query(`INSERT INTO subscriptions (email) VALUES ('later@example.com')`);
  await query(`INSERT INTO subscription_sync.checkpoint (published_snapshot) SELECT pg_current_snapshot()`);
  const kept = (): Promise<Record<string, unknown>[]> =>
    query(`SELECT email, image::json ->> 'at' AS at FROM subscription_sync.pruned_changes ORDER BY email`);
  await pruneLog(db1, new Date('2020-03-20Z'), 30);
  expect(await kept()).toEqual([{ email: 'once@example.com', at: '2020-01' }]);
  await pruneLog(db1, new Date(), 30);
  expect(await kept()).toEqual([
    { email: 'once@example.com', at: '2020-01' },
    { email: 'twice@example.com', at: '2020-02' },
  ]);
  const newest = await query(selectNewestChange(`'once@example.com'`, 'c.email, c.operation'));
  expect(newest).toEqual([{ email: 'once@example.com', operation: 'created' }]);
});

test('the running service prunes the log: old changes are dropped once they are on Kafka', async () => {
  await query(
    `CREATE TABLE subscription_sync.changes_2020_01 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')`,
  );
  await query(`INSERT INTO subscription_sync.checkpoint (published_snapshot) SELECT pg_current_snapshot()`);
  await query(`DROP TABLE ${month(2)}`);
  await world.start();
  await world.ready();
  const kept = await eventually(async () => {
    const names = await partitions();
    return names.includes('subscription_sync.changes_2020_01') ? undefined : names;
  });
  expect(kept).toEqual([...[0, 1, 2].map(month), 'subscription_sync.changes_default'].sort());
});

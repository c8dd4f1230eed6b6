import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { MAX_VERSION } from '#events';
import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { recordOf, type TestChange } from '../../harness/history.js';
import { replicaStateOf } from '../../harness/replica-state.js';
import { putOnTopic, World } from '../../harness/world.js';
import { call, finished, type Run } from './runs.js';

/** Number of rows that nothing forges. They are in all partitions. */
const OTHERS = 30;

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

async function lastDrawn(): Promise<number> {
  return Number((await world.db1.query<{ last: string }>('SELECT last_value AS last FROM subscription_sync.version')).rows[0]!.last);
}

async function loggedChanges(): Promise<number> {
  return (await world.db1.query('SELECT FROM subscription_sync.changes')).rowCount!;
}

async function metric(name: string): Promise<number> {
  const metrics = await (await fetch(`${world.url}/metrics`)).text();
  const line = metrics.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

/** Puts changes on the topic that DB1 never made, as another environment's producer would. */
async function forge(version: number, changes: readonly Omit<TestChange, 'version'>[]): Promise<void> {
  const records = changes.map((change) => {
    const { key, value } = recordOf({ ...change, version: 1 }, 0);
    return { key, value: value!.toString().replace('"id":"1"', `"id":"${version}"`) };
  });
  await putOnTopic(world, records);
}

/** Returns the causes and states of all differences found, by email. */
async function found(): Promise<Record<string, string>> {
  const { rows } = await world.db1.query<{ email: string; found: string }>(
    `SELECT email, cause || ' ' || state AS found FROM subscription_sync.reconciliation_differences ORDER BY id`,
  );
  return Object.fromEntries(rows.map(({ email, found: cause }) => [email, cause]));
}

/** Starts a run. The one for the record of a previous test may be unfinished. */
async function startRun(): Promise<Run> {
  return eventually(async () => {
    const { status, run } = await call(world, 'POST', 'runs', {});
    return status === 202 ? run : undefined;
  });
}

/** Draws a number that no change gets, as a transaction that is rolled back does. */
async function unusedVersion(): Promise<number> {
  return Number((await world.db1.query<{ version: string }>(`SELECT nextval('subscription_sync.version') AS version`)).rows[0]!.version);
}

test.each<[string, string, () => Promise<number>]>([
  ['far above all versions', 'far', () => Promise.resolve(9_000_000_000_000_000)],
  ['just below 2^52', 'half', () => Promise.resolve(2 ** 52 - 1)],
  ['the highest version that an event may have', 'highest', () => Promise.resolve(MAX_VERSION)],
  ['slightly above the sequence', 'near', async () => (await lastDrawn()) + 1_000],
  ['below the sequence, an unused number', 'unused', unusedVersion],
])('%s: a record that DB1 never wrote is noticed within seconds and touches its own row only', async (_, name, versionOf) => {
  const [kept, killed, ghost, drifted] = ['kept', 'killed', 'ghost', 'drifted'].map((role) => `${role}-${name}@example.com`) as [
    string,
    string,
    string,
    string,
  ];
  await world.db1.query(`INSERT INTO subscriptions (email, status) SELECT unnest($1::text[]), 'active'`, [[kept, killed, drifted]]);
  const version = await versionOf();
  // Later changes, in each partition, hide the version unless it is higher.
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'other' || i || '-' || $1 || '@example.com', 'active' FROM generate_series(1, $2) i`,
    [name, OTHERS],
  );
  await expectEqualDatabases(world);
  const [foreign, gaps] = ['differences_total{cause="foreign"}', 'chain_breaks_total{reason="foreign_records"}'] as const;
  const before = { foreign: await metric(`subscription_sync_${foreign}`), gaps: await metric(`subscription_sync_${gaps}`) };
  const [sequence, changes] = [await lastDrawn(), await loggedChanges()];

  await world.db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE email = $1`, [drifted]);
  await forge(version, [
    { email: kept, operation: 'updated', status: 'forged' },
    { email: killed, operation: 'deleted', status: 'forged' },
    { email: ghost, operation: 'created', status: 'forged' },
  ]);
  await eventually(async () => {
    const causes = await found();
    return [kept, killed, ghost].every((email) => causes[email] === 'foreign repaired') && causes[drifted] === 'content repaired';
  }, 10_000);
  await expectEqualDatabases(world);
  expect((await replicaStateOf(world, ghost)).status).toBeNull();
  expect(Object.keys(await found()).filter((email) => email.startsWith('other'))).toEqual([]);
  expect((await metric(`subscription_sync_${foreign}`)) - before.foreign).toBe(3);
  // A run that was under way may have repaired the rows before the gap was noticed.
  await eventually(async () => (await metric(`subscription_sync_${gaps}`)) > before.gaps, 10_000);
  // The repairs, and nothing else, have drawn versions.
  expect((await lastDrawn()) - sequence).toBe((await loggedChanges()) - changes);

  await world.db1.query(`UPDATE subscriptions SET status = 'paused' WHERE email = ANY ($1)`, [[kept, killed]]);
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [ghost]);
  await expectEqualDatabases(world);
});

test('a foreign deletion of an email that no database has does not keep its first change from DB2', async () => {
  const email = 'unborn@example.com';
  await forge(9_000_000_000_000_000, [{ email, operation: 'deleted', status: 'forged' }]);
  await eventually(async () => (await found())[email] === 'foreign repaired', 10_000);
  expect(await replicaStateOf(world, email)).toMatchObject({ status: null, version: 0 });
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [email]);
  await expectEqualDatabases(world);
});

test('a requested run finds a foreign version of a row that is equal in both databases', async () => {
  const email = 'equal@example.com';
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [email]);
  await expectEqualDatabases(world);
  // A run begins with the emails that have changed since the last one: only a look at the versions finds this one then.
  await finished(world, (await startRun()).id);
  const sequence = await lastDrawn();
  await world.db2.query('UPDATE subscription_sync.applied SET version = $2 WHERE email = $1', [email, sequence + 1_000_000]);
  expect(await finished(world, (await startRun()).id)).toMatchObject({ outcome: 'repaired', differing: 1, repaired: 1 });
  expect((await found())[email]).toBe('foreign repaired');
  expect(await lastDrawn()).toBe(sequence + 1);
  await world.db1.query(`UPDATE subscriptions SET status = 'paused' WHERE email = $1`, [email]);
  await expectEqualDatabases(world);
});

test('decoder, sequence and repair share one bound', async () => {
  const { rows } = await world.db1.query<{ max: string }>(
    `SELECT seqmax AS max FROM pg_sequence WHERE seqrelid = 'subscription_sync.version'::regclass`,
  );
  expect(Number(rows[0]!.max)).toBe(MAX_VERSION);
  await forge(MAX_VERSION + 1, [{ email: 'beyond@example.com', operation: 'created', status: 'forged' }]);
  const letters = await eventually(async () => {
    const stored = await world.db2.query<{ error_class: string }>('SELECT error_class FROM subscription_sync.dead_letters');
    return stored.rowCount! > 0 ? stored.rows : undefined;
  });
  expect(letters).toEqual([{ error_class: 'version-out-of-range' }]);
});

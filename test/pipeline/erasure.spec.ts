import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Pool } from 'pg';
import request from 'supertest';
import { callCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { putOnTopic, World } from '../harness/world.js';
import { finished, requested } from './reconciliation/runs.js';

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);

interface Erasure {
  readonly id: number;
  readonly state: string;
  readonly email_hash: string;
  readonly kafka: { readonly until: string | null; readonly detail: string } | null;
}

async function erase(email: string): Promise<number> {
  const { body, headers } = await api().post('/erasures').send({ email }).expect(202);
  const { id } = body as Erasure;
  expect(headers['location']).toBe(`/erasures/${id}`);
  return id;
}

async function reached(id: number, state: string): Promise<Erasure> {
  return eventually(async () => {
    const { body } = await api().get(`/erasures/${id}`).expect(200);
    return (body as Erasure).state === state ? (body as Erasure) : undefined;
  });
}

/** Returns the tables of the service in which a text is, in any case, also in bytes. */
async function tablesWith(pool: Pool, text: string): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'subscription_sync'::regnamespace ORDER BY 1`,
  );
  const found = await Promise.all(
    rows.map(({ name }) =>
      pool.query(`SELECT FROM subscription_sync."${name}" t WHERE strpos(lower(t::text), $1) > 0 OR strpos(t::text, $2) > 0 LIMIT 1`, [
        text,
        Buffer.from(text).toString('hex'),
      ]),
    ),
  );
  return rows.filter((_, i) => found[i]!.rowCount! > 0).map(({ name }) => name.replace(/^changes_.*/, 'changes'));
}

/** Deletes all records of the topic, as Kafka does after `retention.ms`. */
async function expireRecords(): Promise<void> {
  const admin = world.kafka.admin();
  await admin.connect();
  const offsets = await admin.fetchTopicOffsets(world.topic);
  await admin.deleteTopicRecords({ topic: world.topic, partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })) });
  await admin.disconnect();
}

/** Reads the topic from its beginning once more, with another consumer group, and applies it to Database 2. */
async function replayTopic(): Promise<void> {
  const group = `${world.name}_replay`;
  const replay = world.beside({ servers: [['replica']], env: { KAFKA_GROUP_ID: group } });
  await replay.start();
  const admin = world.kafka.admin();
  await admin.connect();
  try {
    await eventually(async () => {
      const ends = await admin.fetchTopicOffsets(world.topic);
      const [committed] = await admin.fetchOffsets({ groupId: group, topics: [world.topic] });
      const at = new Map(committed!.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      return ends.every(({ partition, high }) => Number(high) === 0 || at.get(partition) === Number(high));
    });
  } finally {
    await admin.disconnect();
    await replay.stop();
  }
}

async function inReplica(email: string): Promise<boolean> {
  return (await world.db2.query('SELECT FROM subscriptions WHERE lower(email) = $1', [email])).rowCount === 1;
}

/** Leaves traces of an email in every table that can have some. */
async function leaveTraces(email: string): Promise<void> {
  const { db1, db2 } = world;
  // Another program's spelling.
  await db1.query('INSERT INTO subscriptions (email, status) VALUES (initcap($1), $2)', [email, 'active']);
  const key = `retry-${email}`;
  await api()
    .patch(`/subscriptions/${email}`)
    .set('idempotency-key', key)
    .send({ metadata: { phone: email }, reason: email })
    .expect(200);
  await api()
    .patch(`/subscriptions/${email}`)
    .set('idempotency-key', 'plain')
    .send({ metadata: { phone: 'x' } })
    .expect(200);
  await expectEqualDatabases(world);
  await db2.query('ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) <= 5) NOT VALID');
  await db1.query(`UPDATE subscriptions SET plan = 'too wide' WHERE lower(email) = $1`, [email]);
  await putOnTopic(world, [
    { key: email, value: '{' },
    { key: 'x', value: `{"email": "${email}"}` },
  ]);
  await eventually(async () => (await db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount === 3);
  await db2.query('ALTER TABLE subscriptions DROP CONSTRAINT narrow');
  await db1.query(
    `INSERT INTO subscription_sync.imports (dry_run, state, errors, error)
     SELECT false, 'failed', jsonb_build_array(jsonb_build_object('line', 1, 'detail', $1::text), jsonb_build_object('line', 2, 'detail', 'kept')), $1`,
    [email],
  );
  await db1.query(
    `INSERT INTO subscription_sync.unpublishable_changes (version, email, bytes, error) SELECT version, email, 1, '' FROM subscription_sync.changes WHERE email = $1 LIMIT 1`,
    [email],
  );
  await db1.query(
    `WITH run AS (
       INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair, position, after_email, until_email, outcome, finished_at)
       VALUES ('requested', '{"partitions": [], "sequence": 0}', false, $1, $1, $1, 'equal', now()) RETURNING id
     ) INSERT INTO subscription_sync.reconciliation_differences (run, email, cause) SELECT id, $1, 'missing' FROM run`,
    [email],
  );
  for (const pool of [db1, db2]) await pool.query('INSERT INTO subscription_sync.row_keys (key) VALUES ($1), (initcap($1))', [email]);
}

test('an erasure leaves the email nowhere, and no replay of the topic brings the row back', async () => {
  const email = 'grace.hopper@example.com';
  await leaveTraces(email);
  expect(await tablesWith(world.db1, email)).toEqual(
    expect.arrayContaining(['changes', 'idempotency_keys', 'imports', 'reconciliation_differences', 'reconciliation_runs', 'row_keys']),
  );

  const id = await erase('Grace.Hopper@example.com');
  const erased = await reached(id, 'erased');
  expect(erased.kafka!.detail).toMatch(/^Kafka deletes the records some time after retention\.ms=\d+ has passed$/);
  expect(Date.parse(erased.kafka!.until!)).toBeGreaterThan(Date.now());
  expect(await tablesWith(world.db1, email)).toEqual(['erasures', 'pruned_changes']);
  expect(await tablesWith(world.db2, email)).toEqual(['applied']);
  expect(await world.db2.query('SELECT DISTINCT state, key, value FROM subscription_sync.dead_letters')).toMatchObject({
    rows: [{ state: 'discarded', key: null, value: null }],
  });
  const imports = await world.db1.query('SELECT errors, error FROM subscription_sync.imports');
  expect(imports.rows).toEqual([{ errors: [{ line: 2, detail: 'kept' }], error: null }]);
  await api().get(`/subscriptions/${email}/history`).expect(404);
  const events = await api().get('/events').expect(200);
  expect(events.text.toLowerCase()).not.toContain(email);
  // A client that repeats its request after the erasure does not create the subscription again.
  await api()
    .patch(`/subscriptions/${email}`)
    .set('idempotency-key', 'plain')
    .send({ metadata: { phone: 'x' } })
    .expect(409, /has been erased since/);
  await api().get(`/subscriptions/${email}`).expect(404);

  await replayTopic();
  expect(await inReplica(email)).toBe(false);
  // The sample of the replayed changes has it until the next check for gaps.
  await eventually(async () => (await tablesWith(world.db2, email)).join() === 'applied');

  await expireRecords();
  await reached(id, 'completed');
  expect([await tablesWith(world.db1, email), await tablesWith(world.db2, email)]).toEqual([[], []]);
  expect(await api().get(`/erasures/${id}`)).toMatchObject({ body: { email_hash: erased.email_hash } });

  const run = await requested(world, {});
  expect(await finished(world, run.id)).toMatchObject({ outcome: 'equal', differing: 0 });
  const { rows: gaps } = await world.db1.query(`SELECT reason FROM subscription_sync.reconciliation_runs WHERE reason ~ 'lost|foreign'`);
  expect(gaps).toEqual([]);
  await api().get(`/subscriptions/${email}/replication`).expect(404);

  await api().post('/subscriptions').send({ email, status: 'active' }).expect(201);
  await eventually(() => inReplica(email));
  const { body: history } = await api().get(`/subscriptions/${email}/history`).expect(200);
  expect(history).toMatchObject({ data: [{ operation: 'created' }] });
});

test('a person who subscribes again before the erasure is complete keeps the new subscription, and only that', async () => {
  const email = 'back@example.com';
  await api().post('/subscriptions').send({ email, status: 'active', plan: 'first' }).expect(201);
  const id = await erase(email);
  await api().post('/subscriptions').send({ email, status: 'pending', plan: 'again' }).expect(201);
  await reached(id, 'erased');
  const { rows: log } = await world.db1.query('SELECT operation, image FROM subscription_sync.changes WHERE email = $1', [email]);
  expect(log).toEqual([{ operation: 'created', image: expect.stringContaining('"again"') }]);
  expect(await tablesWith(world.db1, '"first"')).toEqual([]);
  await replayTopic();
  await expireRecords();
  await reached(id, 'completed');
  await expectEqualDatabases(world);
  expect(await inReplica(email)).toBe(true);
  await api().patch(`/subscriptions/${email}`).send({ plan: 'later' }).expect(200);
  await expectEqualDatabases(world);
});

test('what is deleted once more before the erasure is complete is erased, too', async () => {
  const email = 'twice@example.com';
  await api().post('/subscriptions').send({ email, status: 'active' }).expect(201);
  const id = await erase(email);
  await reached(id, 'erased');
  await api().post('/subscriptions').send({ email, status: 'active', plan: 'once more' }).expect(201);
  await api().delete(`/subscriptions/${email}`).expect(204);
  await eventually(async () => (await tablesWith(world.db1, '"once more"')).length === 0);
  await reached(id, 'erased');
  await expireRecords();
  await reached(id, 'completed');
  expect([await tablesWith(world.db1, email), await tablesWith(world.db2, email)]).toEqual([[], []]);
});

test('an erasure waits until Database 2 has deleted the row, however often that was refused', async () => {
  const email = 'held@example.com';
  await api().post('/subscriptions').send({ email, status: 'active' }).expect(201);
  await expectEqualDatabases(world);
  await world.db2.query(`DELETE FROM subscription_sync.dead_letters;
    CREATE TABLE invoices (email text REFERENCES subscriptions (email)); INSERT INTO invoices VALUES ('${email}')`);
  const id = await erase(email);
  await eventually(async () => (await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount === 1);
  // Erasures are carried out in their order, so the first one has been looked at again.
  await reached(await erase('later@example.com'), 'erased');
  expect(await api().get(`/erasures/${id}`)).toMatchObject({ body: { state: 'requested', kafka: null } });
  await world.db2.query('DROP TABLE invoices');
  await api().post('/dead-letters/redrive').expect(200);
  await reached(id, 'erased');
  expect(await inReplica(email)).toBe(false);
});

test('the command line erases an email of any form, and prints a hash of it', async () => {
  const email = 'no email, but a key';
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [email]);
  const { code, stdout, stderr } = await callCli(['erase', email], world.environment());
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^erasure \d+, hash [0-9a-f]{64}: requested.*\nerasure \d+, hash [0-9a-f]{64}: erased\. .+\n$/);
  expect(stdout).not.toContain(email);
  expect(await tablesWith(world.db1, email)).toEqual(['erasures', 'pruned_changes']);
  expect(await inReplica(email)).toBe(false);
});

test('a topic that keeps its records for ever keeps the version of the deletion, and the answer says what to do', async () => {
  const admin = world.kafka.admin();
  await admin.connect();
  const configEntries = [{ name: 'retention.ms', value: '-1' }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: world.topic, configEntries }] });
  await admin.disconnect();
  const id = await erase('for.ever@example.com');
  const { kafka } = await reached(id, 'erased');
  expect(kafka).toMatchObject({ until: null, detail: expect.stringMatching(/without a limit .*kafka-delete-records/) });
});

test('an email that is no email, one of the service itself and an unknown erasure are refused', async () => {
  await api().post('/erasures').send({ email: 'nobody' }).expect(400);
  await api().post('/erasures').send({ email: 'canary@subscription-sync.invalid' }).expect(404);
  await api().post('/erasures').send({ email: 'erased@subscription-sync.invalid' }).expect(404);
  await api().get('/erasures/999999').expect(404);
});

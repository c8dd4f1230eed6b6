import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { DB2_ROWS } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started();
});
afterAll(() => world.close());

const api = (): ReturnType<typeof request> => request(world.url);
const put = (email: string, plan: string): request.Test => api().put(`/subscriptions/${email}`).send({ status: 'active', plan });
const where = (email: string): request.Test => api().get(`/subscriptions/${email}/replication`);

interface Report {
  readonly state: string;
  readonly database1: { readonly version: number } | null;
  readonly published: { readonly partition: number } | null;
  readonly dead_letter: { readonly offset: number } | null;
}

async function stateOf(email: string, state: string): Promise<Report> {
  return eventually(async () => {
    const { body } = await where(email);
    return body.state === state ? (body as Report) : undefined;
  });
}

/** Blocks writes to DB2 until the returned function is called; reads still work. */
async function holdDb2(): Promise<() => Promise<void>> {
  const session = await world.db2.connect();
  await session.query('BEGIN; LOCK TABLE subscriptions IN SHARE MODE');
  return async () => {
    await session.query('COMMIT');
    session.release();
  };
}

describe('Prefer: wait', () => {
  test('the response to a write is sent once Database 2 has it', async () => {
    for (const email of ['w1@example.com', 'w2@example.com', 'w3@example.com']) {
      const created = await api().post('/subscriptions').set('prefer', 'wait=10').send({ email, status: 'active' }).expect(201);
      expect(created.headers).toMatchObject({ 'preference-applied': 'wait=10', location: `/subscriptions/${encodeURIComponent(email)}` });
      const inDb2 = async (): Promise<unknown> =>
        (await world.db2.query(`SELECT version::int, status FROM ${DB2_ROWS} WHERE email = $1`, [email])).rows[0];
      expect(await inDb2()).toEqual({ version: created.body.version, status: 'active' });
      const changed = await api().patch(`/subscriptions/${email}`).set('prefer', 'wait=10').send({ status: 'paused' }).expect(200);
      expect(changed.headers['preference-applied']).toBe('wait=10');
      expect(await inDb2()).toEqual({ version: changed.body.version, status: 'paused' });
      const deleted = await api().delete(`/subscription_status/${email.toUpperCase()}`).set('prefer', 'respond-async, wait=10').expect(204);
      expect(deleted.headers['preference-applied']).toBe('wait=10');
      expect(await inDb2()).toBeUndefined();
    }
  });

  test('a write that is not replicated in time is 202, with the resource and a link to its status; it is committed, and arrives', async () => {
    await put('late@example.com', 'a').set('prefer', 'wait=10').expect(201);
    const release = await holdDb2();
    const began = Date.now();
    const answer = await put('late@example.com', 'b').set('prefer', 'wait=1').expect(202);
    expect(Date.now() - began).toBeGreaterThanOrEqual(990);
    expect(answer.headers['preference-applied']).toBeUndefined();
    expect(answer.headers).toMatchObject({
      'subscription-version': String(answer.body.version),
      link: '</subscriptions/late%40example.com/replication>; rel="status"',
      'content-type': 'application/json; charset=utf-8',
    });
    expect(answer.body).toMatchObject({
      email: 'late@example.com',
      plan: 'b',
      replication: '/subscriptions/late%40example.com/replication',
    });
    expect((await where('late@example.com').expect(200)).body).toMatchObject({
      state: 'in_flight',
      database1: { version: answer.body.version, deleted: false, operation: 'updated' },
      database2: { deleted: false },
      dead_letter: null,
    });
    const gone = await api().delete('/subscriptions/late@example.com').set('prefer', 'wait=0').expect(202);
    expect(gone.body).toEqual({ email: 'late@example.com', replication: '/subscriptions/late%40example.com/replication' });
    await release();
    const after = await stateOf('late@example.com', 'in_sync');
    expect(after).toMatchObject({
      lag_ms: 0,
      database1: { deleted: true },
      database2: { deleted: true, version: after.database1!.version },
    });
  });

  test('errors are returned at once and unchanged; a request without the header does not wait', async () => {
    const release = await holdDb2();
    await api().delete('/subscriptions/nobody@example.com').set('prefer', 'wait=20').expect(404);
    await api().put('/subscriptions/x@example.com').set('prefer', 'wait=20').send({ status: 'no' }).expect(400);
    const { headers } = await put('x@example.com', 'a').expect(201);
    expect(headers['preference-applied']).toBeUndefined();
    await release();
  });

  test('50 concurrent requests wait in parallel', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => put(`many${i}@example.com`, 'a').set('prefer', 'wait=20')));
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(201));
  });
});

describe('GET /replica/subscriptions/{email}', () => {
  const read = (email: string, query = ''): request.Test => api().get(`/replica/subscriptions/${email}${query}`);

  test('returns the row of Database 2 in the format of Database 1', async () => {
    const { body, headers } = await put('seen@example.com', 'pro').set('prefer', 'wait=10').expect(201);
    const answer = await read('SEEN@example.com').expect(200);
    const { version, ...row } = body as Record<string, unknown>;
    expect(answer.body).toEqual(row);
    expect(answer.headers).toMatchObject({ etag: headers['etag'], 'subscription-version': String(version) });
    await read('seen@example.com', `?min_version=${String(version)}`).expect(200);
  });

  test('waits for min_version, or answers 409 with both versions', async () => {
    const old = (await put('read@example.com', 'a').set('prefer', 'wait=10').expect(201)).body.version as number;
    const release = await holdDb2();
    const { version } = (await put('read@example.com', 'b').expect(200)).body;
    const refused = await read('read@example.com', `?min_version=${version}`).set('prefer', 'wait=1').expect(409);
    expect(refused.body).toMatchObject({
      detail: `Database 2 has version ${old} of this subscription, not version ${version}`,
      type: '/problems/not-replicated-yet',
      min_version: version,
      version_in_db2: old,
      errors: [{ field: 'min_version', detail: `is ${version}; Database 2 has ${old}` }],
    });
    const waiting = read('read@example.com', `?min_version=${version}`)
      .set('prefer', 'wait=20')
      .then((answer) => answer);
    await release();
    const answer = await waiting;
    expect([answer.status, Number(answer.headers['subscription-version']), answer.headers['preference-applied']]).toEqual([
      200,
      version,
      'wait=20',
    ]);
  });

  test('404 for an unknown or deleted subscription; 409 for a version that has not arrived; 400 for an invalid version', async () => {
    await read('nobody@example.com').expect(404);
    const nothing = await read('nobody@example.com', '?min_version=1').expect(409);
    expect(nothing.body).toMatchObject({ min_version: 1, version_in_db2: null });
    await read('nobody@example.com', '?min_version=x').expect(400);
    await put('short@example.com', 'a').expect(201);
    await api().delete('/subscriptions/short@example.com').set('prefer', 'wait=10').expect(204);
    await read('short@example.com').expect(404);
    await read('short@example.com', '?min_version=1').expect(404);
  });
});

describe('GET /subscriptions/{email}/replication', () => {
  const NARROW = 'ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) <= 5) NOT VALID';
  const WIDE = 'ALTER TABLE subscriptions DROP CONSTRAINT IF EXISTS narrow';
  afterEach(() => world.db2.query(WIDE));

  test('in_sync is returned with the partition and its applied position', async () => {
    const { body } = await put('sync@example.com', 'a').set('prefer', 'wait=10').expect(201);
    const answer = await where('sync@example.com').expect(200);
    expect(answer.body).toEqual({
      email: 'sync@example.com',
      state: 'in_sync',
      detail: expect.any(String),
      database1: { version: body.version, deleted: false, operation: 'created', changed_at: expect.any(String) },
      database2: { version: body.version, deleted: false },
      published: { topic: world.topic, partition: expect.any(Number), offset: null, at_latest: answer.body.published.at_latest },
      applied: { offset: expect.any(Number), version: expect.any(Number), applied_at: expect.any(String) },
      lag_ms: 0,
      dead_letter: null,
    });
    expect(answer.body.applied.version).toBeGreaterThanOrEqual(body.version);
  });

  test('dead_lettered is returned with the place of the dead letter, until a newer change is applied', async () => {
    await world.db2.query(NARROW);
    await put('dead@example.com', 'too wide').expect(201);
    const body = await stateOf('dead@example.com', 'dead_lettered');
    expect(body).toMatchObject({
      database2: null,
      lag_ms: expect.any(Number),
      published: { topic: world.topic, offset: body.dead_letter!.offset },
      dead_letter: { error_class: '23514', topic: world.topic, partition: body.published!.partition },
    });
    await put('dead@example.com', 'fits').set('prefer', 'wait=10').expect(200);
    await stateOf('dead@example.com', 'in_sync');
  });

  test('drifted covers different values, a newer version, and a change that was applied without leaving a row', async () => {
    for (const email of ['other@example.com', 'ahead@example.com', 'lost@example.com']) {
      await put(email, 'a').set('prefer', 'wait=10').expect(201);
    }
    await world.db2.query(`
      UPDATE subscriptions SET plan = 'z' WHERE email = 'other@example.com';
      UPDATE subscription_sync.applied SET version = version + 1000000 WHERE email = 'ahead@example.com';
      DELETE FROM subscriptions WHERE email = 'lost@example.com'`);
    await stateOf('other@example.com', 'drifted');
    await stateOf('ahead@example.com', 'drifted');
    expect(await stateOf('lost@example.com', 'drifted')).toMatchObject({ database2: { deleted: true }, published: { topic: world.topic } });
    await world.db2.query(`INSERT INTO subscriptions (email) VALUES ('ghost@example.com')`);
    expect(await stateOf('ghost@example.com', 'drifted')).toMatchObject({ database1: null, database2: { version: 0, deleted: false } });
  });

  test('404 for a subscription that neither database ever had', async () => {
    await where('nobody@example.com').expect(404);
    await where('nobody').expect(400);
  });
});

describe('when Database 2 is', () => {
  let other: World;
  afterEach(() => other.stop());
  const at = (): ReturnType<typeof request> => request(other.url);

  test.each([
    ['not configured', ''],
    ['away', '127.0.0.1'],
  ])('%s: writes succeed, and the state is unknown', async (kind, host) => {
    other = world.beside({ servers: [['api']], env: { DB2_HOST: host, DB2_PORT: '1' } });
    await other.start();
    await eventually(async () => (await at().put('/subscriptions/unknown@example.com').send({ status: 'active' })).status < 300);
    const written = await at().put('/subscriptions/unknown@example.com').set('prefer', 'wait=1').send({ status: 'paused' });
    expect([written.status, written.headers['preference-applied']]).toEqual([kind === 'away' ? 202 : 200, undefined]);
    const { body } = await at().get('/subscriptions/unknown@example.com/replication').expect(200);
    expect(body).toMatchObject({
      state: 'unknown',
      database2: null,
      applied: null,
      lag_ms: null,
      database1: { version: written.body.version },
    });
    const replica = await at().get('/replica/subscriptions/unknown@example.com').expect(503);
    expect(replica.body.detail).toContain(kind === 'away' ? 'Database 2 does not respond' : 'DB2_HOST is not set');
  });

  test('the state is known to a process that has only the api role', async () => {
    other = world.beside({ servers: [['api']] });
    await other.start();
    await other.ready();
    const { body } = await at().put('/subscriptions/apart@example.com').set('prefer', 'wait=10').send({ status: 'active' }).expect(201);
    const answer = await at().get('/subscriptions/apart@example.com/replication').expect(200);
    expect(answer.body).toMatchObject({
      state: 'in_sync',
      database2: { version: body.version },
      published: { topic: null, partition: null },
      applied: null,
    });
  });
});

test('waiting requests are answered when the process stops', async () => {
  const release = await holdDb2();
  const other = world.beside({ servers: [['api']] });
  await other.start();
  await other.ready();
  const began = Date.now();
  const answer = request(other.url)
    .put('/subscriptions/stopped@example.com')
    .set('prefer', 'wait=30')
    .send({ status: 'active' })
    .then((response) => response.status);
  await eventually(async () => (await world.db1.query(`SELECT FROM subscriptions WHERE email = 'stopped@example.com'`)).rowCount === 1);
  await other.stop();
  expect(await answer).toBe(202);
  expect(Date.now() - began).toBeLessThan(20_000);
  await release();
});

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { db2ConnectionOptions, prepared, queryPrepared, withMaintenanceTimeout } from '#postgres';
import { placeOf, sharedParts, withServer } from '../harness/addresses.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { World } from '../harness/world.js';

/** Bounds for a request: a fifth of production's. */
const BOUNDS = { ...TEST_TIMINGS.postgres, requestTimeoutMs: 2_000, db1StatementTimeoutMs: 2_000 };
/** Time (ms) for work that a bound does not count, such as that of a slow machine. */
const SLACK_MS = 4_000;

let world: World;
let proxy: TcpProxy;

beforeEach(async () => {
  proxy = await TcpProxy.to(placeOf('db1'));
});

describe('a request to a database that no longer answers', () => {
  beforeEach(async () => {
    world = await World.started({ env: { DB1_HOST: '127.0.0.1', DB1_PORT: String(proxy.port) }, timings: { postgres: BOUNDS } });
  });
  afterEach(async () => {
    await proxy.close();
    await world.close();
  });

  test('gets a 503 that says that the outcome is unknown, and the next request gets a working connection', async () => {
    const put = (email: string): request.Test => request(world.url).put(`/subscriptions/${email}`).send({ status: 'active' });
    // Several connections, so that the request gets one that has worked before.
    await Promise.all(['ada', 'eve', 'bob', 'joe'].map((name) => put(`${name}@example.com`).expect(201)));
    await proxy.set({ kind: 'black-hole', forgets: true });
    const started = performance.now();
    const [answer, ready] = await Promise.all([put('ada@example.com'), readinessOf(world.url)]);
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({ detail: expect.stringContaining('unless its response to a committed write was lost') });
    expect(performance.now() - started).toBeLessThan(BOUNDS.requestTimeoutMs + BOUNDS.answerGraceMs + SLACK_MS);
    expect(ready.checks['db1']).toMatchObject({ status: 'down', error: `no answer within ${BOUNDS.checkTimeoutMs} ms` });
    await proxy.set({ kind: 'pass' });
    await put('ada@example.com').expect(200);
    expect((await readinessOf(world.url)).checks['db1']!.status).toBe('up');
  }, 60_000);
});

describe('the connections of a pool', () => {
  const BOUND = 300;
  let pool: DataSource;

  beforeEach(async () => {
    // The tests read no table.
    const options = db2ConnectionOptions({
      ...sharedParts().db1,
      port: proxy.port,
      host: '127.0.0.1',
      database: 'postgres',
      poolSize: 2,
    });
    const extra = options.extra as { session: object };
    const session = { ...extra.session, statement_timeout: BOUND };
    pool = new DataSource({ ...options, extra: { ...extra, statementTimeoutMs: BOUND, session } });
    await pool.initialize();
  });
  afterEach(async () => {
    await pool.destroy();
    await proxy.close();
  });

  describe('whose statements may take long', () => {
    const PROBE_MS = 200;
    const timings = { ...TEST_TIMINGS.postgres, db2StatementTimeoutMs: 600_000, probeIntervalMs: PROBE_MS };
    let patient: DataSource;

    beforeEach(async () => {
      const settings = { ...sharedParts().db1, port: proxy.port, host: '127.0.0.1', database: 'postgres', poolSize: 2 };
      patient = await new DataSource(db2ConnectionOptions(settings, timings)).initialize();
    });
    afterEach(() => patient.destroy());

    test('notice that the network has forgotten one of them', async () => {
      const LOCK = 7_302;
      await withServer(sharedParts().db1, async (server) => {
        await server.query(`SELECT pg_advisory_lock(${LOCK})`);
        const answer = patient.query(`SELECT pg_advisory_lock(${LOCK})`);
        const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = ${LOCK} AND NOT granted`;
        await eventually(async () => (await server.query(waiting)).rowCount === 1);
        // While the server is busy with the statement, it is waited for.
        await server.query(`SELECT pg_sleep(${(4 * PROBE_MS) / 1_000})`);
        proxy.forget();
        await server.query(`SELECT pg_advisory_unlock(${LOCK})`);
        await expect(answer).rejects.toMatchObject({ code: 'ETIMEDOUT', message: expect.stringContaining('the connection is lost') });
        await expect(patient.query('SELECT 1')).resolves.toBeDefined();
      });
    });

    test('notice that the server is unreachable', async () => {
      const answer = patient.query('SELECT pg_sleep(600)');
      await proxy.set({ kind: 'black-hole', forgets: true });
      await expect(answer).rejects.toMatchObject({ code: 'ETIMEDOUT', message: expect.stringContaining('the connection is lost') });
    });

    test('wait for a statement that is only slow', async () => {
      await expect(patient.query(`SELECT pg_sleep(${(10 * PROBE_MS) / 1_000})`)).resolves.toBeDefined();
    });
  });

  const pid = async (): Promise<number> => (await pool.query<[{ pid: number }]>('SELECT pg_backend_pid() AS pid'))[0].pid;

  test.each([
    ['a statement', () => pool.query('SELECT 1')],
    ['a prepared statement', () => queryPrepared(pool.manager, prepared('SELECT 2'), [])],
    ['a transaction', () => pool.transaction((manager) => manager.query('SELECT 3'))],
  ])('%s without an answer ends, together with its connection', async (_, query) => {
    const before = await pid();
    await proxy.set({ kind: 'black-hole', forgets: true });
    await expect(query()).rejects.toMatchObject({ code: 'ETIMEDOUT', message: expect.stringContaining('no answer within') });
    await proxy.set({ kind: 'pass' });
    expect(await pid()).not.toBe(before);
    await expect(query()).resolves.toBeDefined();
  });

  test('a statement that is only slow is ended by the server, and its connection stays usable', async () => {
    const before = await pid();
    await expect(pool.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    expect(await pid()).toBe(before);
  });

  test('maintenance may take longer, and leaves the timeouts of the connection unchanged', async () => {
    const slow = `SELECT pg_sleep(${(BOUND * 3) / 1_000})`;
    await withMaintenanceTimeout(pool, (manager) => manager.query(slow));
    await expect(pool.query(slow)).rejects.toMatchObject({ code: '57014' });
  });
});

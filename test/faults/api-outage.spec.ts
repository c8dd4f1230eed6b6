import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { placeOf } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';

let world: World;
let proxy: TcpProxy;

const api = (): ReturnType<typeof request> => request(world.url);
const put = (email: string): request.Test => api().put(`/subscriptions/${email}`).send({ status: 'active' });

afterEach(async () => {
  await world.close();
  await proxy.close();
});

describe('Database 1', () => {
  beforeEach(async () => {
    proxy = await TcpProxy.to(placeOf('db1'), { kind: 'refuse' });
    world = await World.create({ env: { DB1_HOST: '127.0.0.1', DB1_PORT: String(proxy.port) } });
  });

  test('down at start: requests get a clear 503 at once, and succeed once it is up', async () => {
    await world.start();
    const started = Date.now();
    const answer = await put('ada@example.com').expect(503);
    expect(Date.now() - started).toBeLessThan(3_000);
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'content-type': 'application/problem+json; charset=utf-8' });
    expect(answer.body).toMatchObject({ status: 503, detail: expect.stringContaining('Database 1') });
    const { code, status, checks } = await readinessOf(world.url);
    expect({ code, status, db1: checks['db1']!.status }).toEqual({ code: 503, status: 'unavailable', db1: 'down' });
    await api().get('/health/live').expect(200);

    await proxy.set({ kind: 'pass' });
    await eventually(async () => (await put('ada@example.com')).status === 201);
    await world.ready();
    await expectEqualDatabases(world);
  });

  test('lost under load: 2xx means committed, anything else is a 503', async () => {
    await proxy.set({ kind: 'pass' });
    await world.start();
    await world.ready();
    let shut = false;
    const statuses = new Map<string, number>();
    const load = Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 60; i += 1) {
          const email = `w${writer}-${i}@example.com`;
          statuses.set(email, (await put(email)).status);
          if (!shut && statuses.size > 100) {
            shut = true;
            await proxy.close();
            await eventually(async () => (await put('x@example.com')).status === 503);
            await proxy.set({ kind: 'pass' });
          }
        }
      }),
    );
    await load;
    expect(new Set(statuses.values())).toEqual(new Set([201, 503]));
    await eventually(async () => (await put('last@example.com')).status === 201);
    const { rows } = await world.db1.query<{ email: string }>('SELECT email FROM subscriptions');
    const stored = new Set(rows.map(({ email }) => email));
    const promised = [...statuses].filter(([, status]) => status === 201).map(([email]) => email);
    expect(promised.filter((email) => !stored.has(email))).toEqual([]);
    await world.ready();
    await expectEqualDatabases(world);
  });
});

describe.each(['kafka', 'db2'] as const)('%s down from the start', (part) => {
  beforeEach(async () => {
    proxy = await TcpProxy.to(placeOf(part), { kind: 'refuse' });
    const env = part === 'db2' ? { DB2_HOST: '127.0.0.1', DB2_PORT: String(proxy.port) } : { KAFKA_SERVER: `127.0.0.1:${proxy.port}` };
    world = await World.create({ env });
  });

  test('writes succeed, the service reports what waits, and everything arrives afterwards', async () => {
    await world.start();
    await eventually(async () => (await put('ada@example.com')).status === 201);
    await put('eve@example.com').expect(201);
    const report = await eventually(async () => {
      const now = await readinessOf(world.url);
      return now.checks['db1']?.status === 'up' ? now : undefined;
    });
    expect(report.checks[part]).toMatchObject({ status: 'down', error: expect.any(String) });
    // Once its consumer has joined the group, the replica counts as up although DB2 is down.
    expect(part === 'kafka' ? ['503 starting'] : ['503 starting', '200 degraded']).toContain(`${report.code} ${report.status}`);
    await proxy.set({ kind: 'pass' });
    await world.ready();
    await expectEqualDatabases(world);
  });
});

import { hostname } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { callCli } from '../harness/command-line.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';
import { call, finished, requested } from './reconciliation/runs.js';

let world: World;
let proxy: TcpProxy;

beforeAll(async () => {
  proxy = await TcpProxy.to(placeOf('db1'));
  world = await World.started({ env: { DB1_HOST: '127.0.0.1', DB1_PORT: String(proxy.port) } });
  // The first backfill is over.
  await finished(world, (await requested(world, {})).id);
});
afterAll(async () => {
  await world.close();
  await proxy.close();
});
beforeEach(() => world.db1.query('TRUNCATE subscription_sync.audit'));

const post = (path: string, url = world.url): Promise<Response> => fetch(`${url}${path}`, { method: 'POST' });

/** Returns the acts so far, the oldest first. */
async function acts(): Promise<unknown[]> {
  const { rows } = await world.db1.query('SELECT actor, address, action, target, details FROM subscription_sync.audit ORDER BY id');
  return rows;
}

describe('runs', () => {
  test('are recorded with who started, paused, resumed and cancelled them, without the bounds of their range', async () => {
    const { run } = await call(world, 'POST', 'runs', { after_email: 'a@example.com', until_email: 'b@example.com', repair: false });
    await finished(world, run.id);
    expect((await call(world, 'POST', `runs/${run.id}/pause`)).status).toBe(409);
    await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'row' || i || '@example.com' FROM generate_series(1, 300) i`);
    const second = await call(world, 'POST', 'resyncs', { rate: 1, publish: true });
    for (const change of ['pause', 'resume', 'cancel'])
      expect((await call(world, 'POST', `runs/${second.run.id}/${change}`)).status).toBe(200);
    const by = { actor: 'api', address: expect.stringMatching(/127\.0\.0\.1$/) };
    const found = await acts();
    expect(found).toMatchObject([
      { ...by, action: 'run.start', target: String(run.id), details: { kind: 'compare', all_rows: false, scope: 'all', repair: false } },
      { ...by, action: 'backfill.start', target: String(second.run.id), details: { kind: 'republish', all_rows: true, rate: 1 } },
      { ...by, action: 'run.pause', target: String(second.run.id) },
      { ...by, action: 'run.resume', target: String(second.run.id) },
      { ...by, action: 'run.cancel', target: String(second.run.id) },
    ]);
    expect(JSON.stringify(found)).not.toContain('@');
    await finished(world, second.run.id);
  });

  test('are recorded when the command line starts them', async () => {
    expect(await callCli(['reconcile', 'compare', '--dry-run'], world.environment())).toMatchObject({ code: 0 });
    expect(await acts()).toMatchObject([{ actor: expect.stringMatching(/^cli:./), address: hostname(), action: 'run.start' }]);
  });
});

describe('dead letters', () => {
  async function letter(): Promise<number> {
    const { rows } = await world.db2.query<{ id: number }>(
      `INSERT INTO subscription_sync.dead_letters (topic, partition, "offset", key, value, error_class, error)
       SELECT 'other', 0, coalesce(max("offset"), 0) + 1, 'x', 'x', 'not-json', 'not JSON' FROM subscription_sync.dead_letters RETURNING id::int`,
    );
    return rows[0]!.id;
  }
  const stateOf = async (id: number): Promise<string> =>
    (await world.db2.query<{ state: string }>('SELECT state FROM subscription_sync.dead_letters WHERE id = $1', [id])).rows[0]!.state;

  test('are recorded before they are redriven or discarded', async () => {
    const id = await letter();
    expect((await post(`/dead-letters/${id}/redrive`)).status).toBe(200);
    expect((await post('/dead-letters/redrive?error_class=not-json&partition=0')).status).toBe(200);
    expect((await post('/dead-letters/redrive?error_class=ada@example.com')).status).toBe(200);
    expect((await post(`/dead-letters/${id}/discard`)).status).toBe(200);
    expect(await acts()).toMatchObject([
      { actor: 'api', action: 'dead_letter.redrive', target: String(id), details: {} },
      { action: 'dead_letter.redrive_all', target: null, details: { error_class: 'not-json', partition: 0 } },
      { action: 'dead_letter.redrive_all', target: null, details: { error_class: 'unknown' } },
      { action: 'dead_letter.discard', target: String(id) },
    ]);
  });

  test('are left as they are while Database 1 cannot record the act: 503', async () => {
    const id = await letter();
    await proxy.set({ kind: 'refuse' });
    try {
      for (const path of [`${id}/redrive`, `${id}/discard`, 'redrive']) expect((await post(`/dead-letters/${path}`)).status).toBe(503);
      expect(await stateOf(id)).toBe('open');
    } finally {
      await proxy.set({ kind: 'pass' });
    }
    await world.ready();
    expect(await acts()).toEqual([]);
  });

  test('are recorded in the log of a process without Database 1', async () => {
    const id = await letter();
    const replica = await ServerProcess.launch({ ...world.environment(['replica']), LOG_LEVEL: 'info' });
    try {
      await replica.ready();
      expect((await post(`/dead-letters/${id}/discard`, replica.url)).status).toBe(200);
      const line = await eventually(async () => replica.output.split('\n').find((text) => text.includes('dead_letter.discard')));
      expect(JSON.parse(line)).toMatchObject({
        level: 'info',
        context: 'audit',
        msg: expect.stringMatching(
          new RegExp(`^Act dead_letter\\.discard of ${id} by api from \\S*127\\.0\\.0\\.1, request \\S+: \\{\\}$`),
        ),
      });
      expect(await acts()).toEqual([]);
    } finally {
      await replica.signal('SIGTERM');
    }
  });
});

test('an erasure is recorded with its request, and without the email', async () => {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"email":"gone@example.com"}' };
  const response = await fetch(`${world.url}/erasures`, request);
  expect(response.status).toBe(202);
  const { id } = (await response.json()) as { id: number };
  const found = await acts();
  expect(found).toMatchObject([{ actor: 'api', action: 'subscription.erase', target: String(id) }]);
  expect(JSON.stringify(found)).not.toContain('gone');
});

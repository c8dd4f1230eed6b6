import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { pruneLog } from '#change-log';
import { db1ConnectionOptions } from '#postgres';
import { EventSource } from '../../harness/http-clients.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started({ servers: [['api']], env: { EVENT_STREAMS: '4' } });
});
afterAll(() => world.close());

const insert = (name: string, rows = 1): Promise<unknown> =>
  world.db1.query(
    `INSERT INTO subscriptions (email, status, metadata)
     SELECT $1 || i || '@example.com', 'active', jsonb_build_object('big', repeat('x', 2000)) FROM generate_series(1, $2::int) i`,
    [name, rows],
  );
const open = (query = '', last?: string): Promise<EventSource> => EventSource.open(`${world.url}/events/stream${query}`, last);
const nameIn = (data: string | undefined): string => (JSON.parse(data!) as { subject: string }).subject.replace(/\d*@.*/, '');

async function problem(path: string, headers: Record<string, string> = {}): Promise<{ status: number; detail: string }> {
  const response = await fetch(`${world.url}${path}`, { headers });
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  return { status: response.status, detail: ((await response.json()) as { detail: string }).detail };
}

test('the stream tells proxies not to buffer it; after=now brings future events within 100 ms', async () => {
  await insert('old');
  const source = await open('?after=now');
  expect(Object.fromEntries(source.response.headers)).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
  const events = source.events();
  const latencies: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    const next = events.next();
    await insert(`new-${i}-`);
    const committed = performance.now();
    expect(nameIn((await next).value!.data)).toBe(`new-${i}-`);
    latencies.push(performance.now() - committed);
  }
  source.close();
  expect(latencies.sort((a, b) => a - b)[4]).toBeLessThan(100);
});

test('GET /events with Accept: text/event-stream is the stream, too', async () => {
  const source = await EventSource.open(`${world.url}/events`);
  expect(source.response.headers.get('content-type')).toBe('text/event-stream');
  const [first] = await source.take(1);
  expect(nameIn(first!.data)).toBe('old');
  source.close();
});

test('a client that does not read does not delay others, and gets everything when it reads', async () => {
  const { hostname, port } = new URL(world.url);
  const slow = connect(Number(port), hostname);
  slow.write(`GET /events/stream?after=now HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
  await new Promise((resolve) => slow.once('readable', resolve));
  const quick = await open('?after=now');
  const rows = 6_000;
  const taken = quick.take(rows);
  for (let i = 0; i < 12; i += 1) await insert(`slow-${i}-`, rows / 12);
  expect((await taken).length).toBe(rows);
  quick.close();
  let text = '';
  slow.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await eventually(() => text.match(/^id: /gm)?.length === rows);
  expect(new Set(text.match(/"id":"\d+"/g)).size).toBe(rows);
  slow.destroy();
});

test('more streams than EVENT_STREAMS are refused until one is closed', async () => {
  const sources = await eventually(async () => {
    const opened = await Promise.all([1, 2, 3, 4].map(() => open('?after=now')));
    if (opened.every(({ response }) => response.status === 200)) return opened;
    for (const source of opened) source.close();
    return undefined;
  });
  expect(await problem('/events/stream')).toMatchObject({ status: 503, detail: expect.stringContaining('4 event streams') });
  for (const source of sources) source.close();
  await eventually(async () => {
    const source = await open();
    source.close();
    return source.response.status === 200;
  });
});

test('an invalid cursor is 400; HEAD opens no stream', async () => {
  expect(await problem('/events?after=nonsense')).toMatchObject({ status: 400 });
  expect(await problem('/events?limit=501')).toMatchObject({ status: 400 });
  expect(await problem('/events/stream', { 'last-event-id': 'nonsense' })).toMatchObject({ status: 400 });
  expect((await fetch(`${world.url}/events/stream`, { method: 'HEAD' })).status).toBe(200);
});

test('a cursor before pruned events is 410, one after them continues, and a reader without one begins with the oldest kept event', async () => {
  const next = async (query = ''): Promise<{ next_cursor: string; data: object[] }> =>
    (await (await fetch(`${world.url}/events${query}`)).json()) as { next_cursor: string; data: object[] };
  const db1 = new DataSource(db1ConnectionOptions({ ...world.addresses.db1, database: world.name, poolSize: 1 }));
  await db1.initialize();
  await world.db1.query(`
    CREATE TABLE subscription_sync.changes_2001_01 PARTITION OF subscription_sync.changes FOR VALUES FROM ('2001-01-01Z') TO ('2001-02-01Z');
    INSERT INTO subscription_sync.checkpoint (published_snapshot) VALUES (pg_current_snapshot())`);
  const { next_cursor: before } = await next('?limit=1');
  const { next_cursor: then } = await next('?after=now');
  await world.db1.query(`
    INSERT INTO subscription_sync.changes (version, operation, email, image, actor, origin, occurred_at)
    SELECT nextval('subscription_sync.version'), 'created', 'past@example.com', '{}', 'x', 'sql', '2001-01-10Z'`);
  // A transaction that is open in another database of the server may have begun earlier.
  await eventually(async () => {
    const { rows } = await world.db1.query<{ over: boolean }>(
      `SELECT max(txid::text::numeric) < pg_snapshot_xmin(pg_current_snapshot())::text::numeric AS over FROM subscription_sync.changes`,
    );
    return rows[0]!.over;
  });
  const { next_cursor: after } = await next('?after=now');
  await world.db1.query('UPDATE subscription_sync.checkpoint SET published_snapshot = pg_current_snapshot()');
  await insert('kept');
  expect(await pruneLog(db1, new Date(), 30)).toEqual(['subscription_sync.changes_2001_01']);
  for (const pruned of [before, then]) {
    expect(await problem(`/events?after=${pruned}`)).toMatchObject({ status: 410, detail: expect.stringContaining('LOG_RETENTION_DAYS') });
    expect(await problem('/events/stream', { 'last-event-id': pruned })).toMatchObject({ status: 410 });
  }
  expect((await next(`?after=${after}`)).data).toMatchObject([{ subject: 'kept1@example.com' }]);
  const { data, next_cursor: fresh } = await next('?limit=2');
  expect(data).toHaveLength(2);
  expect((await next(`?after=${fresh}&limit=1`)).data).toHaveLength(1);
  await db1.destroy();
});

test('stopping the process ends the streams properly and at once', async () => {
  const source = await open('?after=now');
  const ended = (async () => {
    for await (const _ of source.events());
    return 'ended';
  })();
  const began = Date.now();
  await world.stop();
  expect(await ended).toBe('ended');
  expect(Date.now() - began).toBeLessThan(5_000);
});

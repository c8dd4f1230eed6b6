import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { changesOf } from '../../harness/databases.js';
import { EventSource } from '../../harness/http-clients.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';

let world: World;

beforeEach(async () => {
  world = await World.shared();
});
afterEach(() => world.close());

/** Runs 8 writers with long transactions, a fifth of which roll back. */
async function write(rounds: number): Promise<void> {
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      const session = await world.db1.connect();
      for (let i = 0; i < rounds; i += 1) {
        await session.query('BEGIN');
        for (let row = 0; row <= i % 7; row += 1) {
          await session.query(
            `INSERT INTO subscriptions (email, status) VALUES ($1, 'active') ON CONFLICT (email) DO UPDATE SET plan = $2`,
            [`w${writer}-${row}@example.com`, `p${i}`],
          );
          if (row % 3 === writer % 3) await session.query(`SELECT pg_sleep(${i % 10 === writer ? 0.15 : 0.004})`);
        }
        await session.query(i % 5 === 0 ? 'ROLLBACK' : 'COMMIT');
      }
      session.release();
    }),
  );
}

async function committed(): Promise<string[]> {
  const changes = await changesOf(world.db1);
  return changes.map(({ event }) => event);
}

const versionOf = (event: string): number => Number((JSON.parse(event) as { id: string }).id);
const inOrder = (events: readonly string[]): string[] => [...events].sort((a, b) => versionOf(a) - versionOf(b));

interface Page {
  readonly data: object[];
  readonly next_cursor: string;
  readonly has_more: boolean;
}

async function page(after: string, limit: number): Promise<Page> {
  const response = await fetch(`${world.url}/events?after=${after}&limit=${limit}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Page;
}

/** Reads pages of `limit` until `done` holds, and then to the end. */
async function readPages(limit: number, done: () => boolean): Promise<{ ids: number[]; late: number }> {
  const ids: number[] = [];
  let late = 0;
  for (let after = '0', end = false; !end;) {
    const last = done();
    const { data, next_cursor: next, has_more: more } = await page(after, limit);
    for (const { id } of data as { id: string }[]) {
      if (Number(id) < (ids.at(-1) ?? 0)) late += 1;
      ids.push(Number(id));
    }
    after = next;
    end = last && !more;
  }
  return { ids, late };
}

/** Follows the stream, loses the connection after a number of events each time, and resumes with Last-Event-ID. */
async function follow(every: number, seen: string[], end: AbortSignal): Promise<void> {
  let last: string | undefined;
  while (!end.aborted) {
    const source = await EventSource.open(`${world.url}/events/stream`, last);
    expect(source.response.status).toBe(200);
    const close = (): void => source.close();
    end.addEventListener('abort', close);
    let count = 0;
    for await (const { id, data } of source.events()) {
      seen.push(data!);
      last = id;
      count += 1;
      if (count === every) break;
    }
    end.removeEventListener('abort', close);
    source.close();
  }
}

test('pages and streams have every committed version exactly once while 8 writers keep transactions open and roll back', async () => {
  const streams = [7, 50, Infinity].map((every) => ({ every, seen: [] as string[] }));
  const end = new AbortController();
  const following = Promise.all(streams.map(({ every, seen }) => follow(every, seen, end.signal)));
  let writing = true;
  const reading = Promise.all([3, 100].map((limit) => readPages(limit, () => !writing)));
  await write(30).finally(() => (writing = false));
  const pages = await reading;
  const events = await committed();
  const versions = events.map(versionOf);
  for (const { ids } of pages) expect([...ids].sort((a, b) => a - b)).toEqual(versions);
  // Otherwise no transaction committed late, and the test has not covered its subject.
  expect(pages[0]!.late).toBeGreaterThan(5);
  await eventually(() => streams.every(({ seen }) => seen.length >= events.length));
  end.abort();
  await following;
  for (const { seen } of streams) expect(inOrder(seen)).toEqual(events);
});

test('an open transaction does not delay others, and its events come when it commits, also across a restart', async () => {
  const long = await world.db1.connect();
  await long.query('BEGIN');
  await long.query(`INSERT INTO subscriptions (email, status) VALUES ('long@example.com', 'active')`);
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('short@example.com', 'active')`);
  const subjects = ({ data }: Page): string[] => (data as { subject: string }[]).map(({ subject }) => subject);
  const first = await page('0', 100);
  expect(subjects(first)).toEqual(['short@example.com']);
  const [event] = await (await EventSource.open(`${world.url}/events/stream`)).take(1);
  await world.stop();
  await world.start();
  await world.ready();
  await long.query('COMMIT');
  long.release();
  expect(subjects(await page(first.next_cursor, 100))).toEqual(['long@example.com']);
  const [late] = await (await EventSource.open(`${world.url}/events/stream`, event!.id)).take(1);
  expect(JSON.parse(late!.data!)).toMatchObject({ subject: 'long@example.com', type: 'subscription.created' });
});

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { DEFAULT_TIMINGS, readSettings, type Timings } from '#config';
import { Database } from '#postgres';
import { openDataSources } from '../../../test/harness/data-sources.js';
import { eventually } from '../../../test/harness/eventually.js';
import { World } from '../../../test/harness/world.js';
import { Throttle } from './throttle.js';

/** Number of checks after which a pause counts as proved. */
const CHECKS = 3;
let world: World;
let db1: Database;
let db2: Database;

beforeAll(async () => {
  world = await World.create();
  const [dataSource1, dataSource2] = await openDataSources(world);
  db1 = new Database('db1', dataSource1, DEFAULT_TIMINGS.postgres);
  db2 = new Database('db2', dataSource2, DEFAULT_TIMINGS.postgres);
});
afterAll(async () => {
  await Promise.all([db1.dataSource.destroy(), db2.dataSource.destroy()]);
  await world.close();
});

/** Returns the same database, with its queries counted. */
function counted({ name, dataSource }: Database): { database: Database; queries: () => number } {
  let queries = 0;
  const query: DataSource['query'] = (...args) => {
    queries += 1;
    return dataSource.query(...args);
  };
  const proxy = new Proxy(dataSource, { get: (target, key) => (key === 'query' ? query : Reflect.get(target, key)) });
  return { database: new Database(name, proxy, DEFAULT_TIMINGS.postgres), queries: () => queries };
}

function throttle(replica: Database): Throttle {
  const timings: Timings = { ...DEFAULT_TIMINGS, reconciliation: { ...DEFAULT_TIMINGS.reconciliation, lagPollMs: 10 } };
  return new Throttle(db1, replica, readSettings(world.environment()), timings);
}

async function applied(version: string): Promise<void> {
  await world.db2.query(
    `INSERT INTO subscription_sync.positions (topic, partition, "offset", version) VALUES ($1, 0, 0, ${version})
     ON CONFLICT (topic, partition) DO UPDATE SET version = excluded.version`,
    [world.topic],
  );
}

test('a run pauses while Database 2 lags behind the log, and continues when it has caught up', async () => {
  const { signal } = new AbortController();
  await throttle(db2).whenCaughtUp(signal);
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'row' || i || '@example.com' FROM generate_series(1, 20001) i`);
  await applied('0');
  const { database, queries } = counted(db2);
  let goesOn = false;
  const paused = throttle(database)
    .whenCaughtUp(signal)
    .then(() => (goesOn = true));
  await eventually(() => Promise.resolve(queries() >= CHECKS || goesOn));
  expect(goesOn).toBe(false);
  await applied('100');
  await paused;
});

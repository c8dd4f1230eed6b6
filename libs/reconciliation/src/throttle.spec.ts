import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { readSettings } from '#config';
import { db1ConnectionOptions, db2ConnectionOptions } from '#postgres';
import { eventually } from '../../../test/harness/eventually.js';
import { World } from '../../../test/harness/world.js';
import { Throttle } from './throttle.js';

/** Looks of which each asks DB2 at least twice. */
const LOOKS = 3;
let world: World;
let db1: DataSource;
let db2: DataSource;

beforeAll(async () => {
  world = await World.create();
  const at = (part: 'db1' | 'db2') => ({ ...world.addresses[part], database: world.name, poolSize: 2 });
  db1 = await new DataSource(db1ConnectionOptions(at('db1'))).initialize();
  db2 = await new DataSource(db2ConnectionOptions(at('db2'))).initialize();
});
afterAll(async () => {
  await Promise.all([db1.destroy(), db2.destroy()]);
  await world.close();
});

/** The same database, with what it was asked counted. */
function counted(database: DataSource): { database: DataSource; asked: () => number } {
  let asked = 0;
  const query: DataSource['query'] = (...question) => {
    asked += 1;
    return database.query(...question);
  };
  return {
    database: new Proxy(database, { get: (target, name) => (name === 'query' ? query : Reflect.get(target, name)) }),
    asked: () => asked,
  };
}

async function applied(version: string): Promise<void> {
  await world.db2.query(
    `INSERT INTO replica_positions (topic, partition, "offset", version) VALUES ($1, 0, 0, ${version})
     ON CONFLICT (topic, partition) DO UPDATE SET version = excluded.version`,
    [world.topic],
  );
}

test('a run yields while Database 2 has not applied what the log holds, and goes on when it has', async () => {
  const { kafka } = readSettings(world.environment());
  const signal = new AbortController().signal;
  await new Throttle(db1, db2, kafka!).whenCaughtUp(signal);
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'row' || i || '@example.com' FROM generate_series(1, 20001) i`);
  await applied('0');
  const { database, asked } = counted(db2);
  let goesOn = false;
  const yielding = new Throttle(db1, database, kafka!).whenCaughtUp(signal).then(() => (goesOn = true));
  await eventually(() => Promise.resolve(asked() >= 2 * LOOKS || goesOn));
  expect(goesOn).toBe(false);
  await applied('100');
  await yielding;
}, 30_000);

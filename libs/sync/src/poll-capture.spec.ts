import { expect, test } from '@jest/globals';
import { Client } from 'pg';
import { DEFAULT_TIMINGS } from '#config';
import { World } from '../../../test/harness/world.js';
import { PollCapture } from './poll-capture.js';

test('a poll capture that replaces wal ends after a while with its position stored, so that wal is tried again', async () => {
  const world = await World.create();
  const client = new Client({ ...world.addresses.db1, database: world.name });
  await client.connect();
  await world.db1.query(`INSERT INTO subscriptions (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 10) i`);
  const capture = new PollCapture(client, 10, { ...DEFAULT_TIMINGS.sync, walRetryMs: 100 }, 'wal is not possible');
  let count = 0;
  for await (const changes of capture.batches(new AbortController().signal)) {
    count += changes.length;
    await capture.published(changes.length);
  }
  expect(count).toBe(10);
  await capture.close();
  const { rows } = await client.query(
    'SELECT FROM subscription_sync.changes, subscription_sync.checkpoint WHERE NOT pg_visible_in_snapshot(txid, published_snapshot)',
  );
  expect(rows).toEqual([]);
  await client.end();
  await world.close();
});

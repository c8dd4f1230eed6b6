import { expect, jest, test } from '@jest/globals';
import { Client } from 'pg';
import { sharedParts } from '../../../test/harness/addresses.js';
import { DEFAULT_TIMINGS } from '#config';
import { LeaderLease } from './leader-lease.js';

test("concurrent statements of the lease's session run one after another, also after one that fails", async () => {
  const query = Reflect.get(Client.prototype, 'query') as (...args: unknown[]) => Promise<unknown>;
  let [open, most] = [0, 0];
  jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...args: unknown[]): unknown {
    open += 1;
    most = Math.max(most, open);
    return query.apply(this, args).finally(() => (open -= 1));
  });
  const lease = new LeaderLease({ ...sharedParts().db1, database: 'postgres', poolSize: 1 }, DEFAULT_TIMINGS.sync);
  const session = lease.client;
  await session.connect();

  const answers = await Promise.allSettled([
    session.query('SELECT 1 AS n, pg_sleep(0.01)'),
    session.query('SELECT 1 / 0'),
    session.query('SELECT $1::int AS n', [3]),
    session.query('SELECT 4 AS n'),
  ]);
  const results = answers.map((answer) => (answer.status === 'fulfilled' ? (answer.value.rows[0] as { n: number }).n : answer.reason));
  expect(results).toEqual([1, expect.objectContaining({ code: '22012' }), 3, 4]);
  expect(most).toBe(1);
  await lease.release();
});

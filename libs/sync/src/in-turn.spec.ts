import { expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sharedParts } from '../../../test/harness/addresses.js';
import { inTurn } from './in-turn.js';

test('what is asked at once is asked one after another, and goes on after what is refused', async () => {
  const client = new Client({ ...sharedParts().db1, database: 'postgres' });
  await client.connect();
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
  let [open, most] = [0, 0];
  const counted = (...args: unknown[]): Promise<unknown> => {
    open += 1;
    most = Math.max(most, open);
    return query(...args).finally(() => (open -= 1));
  };
  const session = inTurn(Object.assign(client, { query: counted }));

  const answers = await Promise.allSettled([
    session.query('SELECT 1 AS n, pg_sleep(0.01)'),
    session.query('SELECT 1 / 0'),
    session.query('SELECT $1::int AS n', [3]),
    session.query('SELECT 4 AS n'),
  ]);
  const told = answers.map((answer) => (answer.status === 'fulfilled' ? (answer.value.rows[0] as { n: number }).n : answer.reason));
  expect(told).toEqual([1, expect.objectContaining({ code: '22012' }), 3, 4]);
  expect(most).toBe(1);
  await client.end();
});

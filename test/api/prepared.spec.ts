import { afterAll, beforeAll, expect, test } from '@jest/globals';
import request from 'supertest';
import { World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started({ servers: [['api']] });
});

afterAll(() => world.close());

/** Sends more requests at once than the pool has connections, so that each connection has prepared the statements afterwards. */
const onAllConnections = (send: () => request.Test): Promise<request.Response[]> =>
  Promise.all(Array.from({ length: 40 }, async () => await send()));

test('reads and writes succeed, each once, while a migration replaces the functions that prepared statements use', async () => {
  const api = request(world.url);
  const read = (): request.Test => api.get('/subscriptions/ada@example.com');
  let n = 0;
  const write = (): request.Test => api.patch('/subscriptions/ada@example.com').send({ plan: `plan-${(n += 1)}` });
  await api.post('/subscriptions').send({ email: 'ada@example.com', status: 'active' }).expect(201);
  await onAllConnections(read);
  await onAllConnections(write);

  await makeAnew('subscription_sync.normalize_email(text)', 'RETURNS text', 'RETURNS varchar');
  await makeAnew('subscription_sync.write(text,text,jsonb,jsonb,text[],text[])', 'body text', 'body varchar');

  expect(new Set((await onAllConnections(read)).map(({ status }) => status))).toEqual(new Set([200]));
  const answers = await onAllConnections(write);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const { rowCount } = await world.db1.query(`SELECT FROM subscription_sync.changes WHERE email = 'ada@example.com'`);
  expect(rowCount).toBe(1 + 40 + 40);
});

/** Replaces a function by one with another result type, which a statement that was prepared before "must not change". */
async function makeAnew(signature: string, before: string, after: string): Promise<void> {
  const { rows } = await world.db1.query<{ definition: string }>('SELECT pg_get_functiondef($1::regprocedure) AS definition', [signature]);
  const { definition } = rows[0]!;
  expect(definition).toContain(before);
  await world.db1.query(`DROP FUNCTION ${signature}; ${definition.replace(before, after)}`);
}

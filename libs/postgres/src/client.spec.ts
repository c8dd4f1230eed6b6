import { expect, test } from '@jest/globals';
import { World } from '../../../test/harness/world.js';
import { ClientWithTimeout } from './client.js';

test('a connection that ends while it has no listener does not end the process; its next statement fails', async () => {
  const world = await World.create();
  const timeouts = { statementTimeoutMs: 5_000, answerGraceMs: 2_000 };
  const client = new ClientWithTimeout({ ...world.addresses.db1, database: world.name, session: {}, ...timeouts });
  await client.connect();
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const ended = new Promise((resolve) => client.once('end', () => resolve('ended')));
  await world.db1.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid]);
  expect(await ended).toBe('ended');
  await expect(client.query('SELECT')).rejects.toThrow('not queryable');
  await world.close();
});

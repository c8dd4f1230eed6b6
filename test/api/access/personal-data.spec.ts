import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { bearer, makeKey } from '../../harness/credentials.js';
import { World } from '../../harness/world.js';

let world: World;
let operator: Record<string, string>;
let exporter: Record<string, string>;
let letter: number;
let run: number;

beforeAll(async () => {
  world = await World.started({ env: { ACCESS: 'required' } });
  operator = bearer(await makeKey(world.db1, 'operate'));
  exporter = bearer(await makeKey(world.db1, 'operate', 'export'));
  const letters = await world.db2.query<{ id: number }>(
    `INSERT INTO subscription_sync.dead_letters (topic, partition, "offset", key, value, error_class, error)
     VALUES ('t', 0, 1, 'grace@example.com', '{"email": "grace@example.com"}', 'not-an-event', 'no event') RETURNING id::int`,
  );
  letter = letters.rows[0]!.id;
  const runs = await world.db1.query<{ id: number }>(
    `INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair, position, after_email, until_email, outcome, finished_at)
     VALUES ('requested', '{"partitions": [], "sequence": 0}', false, 'grace@example.com', 'a', 'grace@zoo.example', 'differs', now()) RETURNING id::int`,
  );
  run = runs.rows[0]!.id;
  await world.db1.query(
    `INSERT INTO subscription_sync.reconciliation_differences (run, email, cause) VALUES ($1, 'grace@example.com', 'missing')`,
    [run],
  );
});
afterAll(() => world.close());

async function read(path: string, headers: Record<string, string>): Promise<unknown> {
  const response = await fetch(world.url + path, { headers });
  expect(response.status).toBe(200);
  return response.json();
}

test('an operator sees dead letters without their bytes, and with the scope export also the bytes', async () => {
  const shown = (await read(`/dead-letters/${letter}`, operator)) as object;
  expect(shown).toMatchObject({ id: letter, error_class: 'not-an-event', state: 'open' });
  expect(Object.keys(shown)).not.toEqual(expect.arrayContaining(['key']));
  expect(JSON.stringify([shown, await read('/dead-letters', operator)])).not.toContain('grace');
  expect(await read(`/dead-letters/${letter}`, exporter)).toMatchObject({ encoding: 'utf8', key: 'grace@example.com' });
});

test('an operator sees runs and differences with masked emails, and with the scope export the emails', async () => {
  const masked = { position: 'g***@e***', after_email: 'a', until_email: 'g***@z***' };
  expect(await read(`/reconciliation/runs/${run}`, operator)).toMatchObject({ id: run, outcome: 'differs', ...masked });
  expect(await read('/reconciliation/runs', operator)).toMatchObject({ data: [{ id: run, ...masked }], next_cursor: null });
  expect(await read('/reconciliation/differences', operator)).toMatchObject({ data: [{ email: 'g***@e***', cause: 'missing' }] });
  expect(await read(`/reconciliation/runs/${run}`, exporter)).toMatchObject({
    position: 'grace@example.com',
    until_email: 'grace@zoo.example',
  });
  expect(await read('/reconciliation/differences', exporter)).toMatchObject({ data: [{ email: 'grace@example.com' }] });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually, problemOf } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';
import { SubscriptionsClient } from './client.js';
import { NDJSON, ndjson, sendFile } from './import-export/send-file.js';

/** An application on a table of another program, whose statuses have transitions of their own. */
const TABLE = `
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('trial', 'paid', 'paused', 'gone');
CREATE TABLE shop.members (id serial PRIMARY KEY, mail text UNIQUE NOT NULL, state shop.state NOT NULL)`;
const TRANSITIONS = {
  trial: { next: ['paid', 'gone'] },
  paid: { next: ['paused', 'gone'] },
  paused: { next: ['paid'] },
  gone: { reactivated: ['paid'] },
};

const folder = mkdtempSync(join(tmpdir(), 'transitions-'));
const file = join(folder, 'transitions.json');
const ENV = { DB1_TABLE: 'shop.members', DB1_KEY_COLUMN: 'mail', DB1_STATUS_COLUMN: 'state', STATUS_TRANSITIONS_FILE: file };
let world: World;
const api = new SubscriptionsClient(() => world.url);

beforeAll(async () => {
  world = await World.create({ unmigrated: true, servers: [['api']], env: ENV });
  await world.db1.query(TABLE);
  await startWith(TRANSITIONS);
});
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

async function startWith(transitions: object): Promise<void> {
  writeFileSync(file, JSON.stringify(transitions));
  await world.start();
  await world.ready();
}

async function stateOf(email: string): Promise<unknown> {
  return (await world.db1.query<{ state: string }>('SELECT state FROM shop.members WHERE mail = $1', [email])).rows[0]?.state;
}

async function flagsOf(email: string): Promise<boolean[]> {
  const { rows } = await world.db1.query<{ flag: boolean }>(
    'SELECT transition_violation AS flag FROM subscription_sync.changes WHERE email = $1 ORDER BY version',
    [email],
  );
  return rows.map(({ flag }) => flag);
}

test('a new subscription may have any status', async () => {
  for (const status of Object.keys(TRANSITIONS)) await api.post({ email: `${status}@example.com`, status }).expect(201);
});

test.each(['put', 'patch'] as const)('%s makes the moves of the file, and refuses others with the allowed ones', async (method) => {
  const email = `${method}@example.com`;
  await api.post({ email, status: 'trial' }).expect(201);
  const refused = await api[method](email, { status: 'paused' }).expect(409);
  expect(refused.body).toMatchObject({
    type: '/problems/illegal-transition',
    detail: 'The status cannot change from trial to paused',
    from: 'trial',
    allowed: ['paid', 'gone'],
    errors: [{ field: 'status', detail: 'must be one of paid, gone', pointer: '/status' }],
  });
  expect(refused.body).not.toHaveProperty('allowed_by_reactivation');
  for (const status of ['trial', 'paid', 'paused', 'paid', 'gone']) await api[method](email, { status }).expect(200);
  const final = await api[method](email, { status: 'paid' }).expect(409);
  expect(final.body).toMatchObject({ allowed: [], allowed_by_reactivation: ['paid'], errors: [{ detail: 'gone is a final status' }] });
  await api[method](email, { status: 'trial', reactivate: true }).expect(409);
  await api[method](email, { status: 'paid', reactivate: true }).expect(200);
  expect(new Set(await flagsOf(email))).toEqual(new Set([false]));
});

test('an import refuses the lines whose moves the file forbids', async () => {
  await api.post({ email: 'import@example.com', status: 'gone' }).expect(201);
  const lines = [
    { email: 'import@example.com', status: 'paid' },
    { email: 'import@example.com', status: 'paid', reactivate: true },
    { email: 'import@example.com', status: 'paused' },
    { email: 'import@example.com', status: 'trial' },
  ];
  const { body } = await sendFile(world.url, ndjson(lines), NDJSON).expect(201);
  expect(body).toMatchObject({ updated: 2, refused: 2 });
  expect(body.errors).toEqual([
    {
      line: 1,
      type: '/problems/illegal-transition',
      field: 'status',
      detail: 'paid may not follow gone: gone is final; a line with reactivate true may also set paid',
      from: 'gone',
      allowed: [],
      allowed_by_reactivation: ['paid'],
    },
    expect.objectContaining({ line: 4, from: 'paused', allowed: ['paid'], detail: 'trial may not follow paused: allowed are paid' }),
  ]);
  expect(await stateOf('import@example.com')).toBe('paused');
});

test('a move by raw SQL that the file forbids is made, and flagged in the log', async () => {
  const update = (state: string): Promise<unknown> =>
    world.db1.query('UPDATE shop.members SET state = $1 WHERE mail = $2', [state, 'sql@example.com']);
  await world.db1.query(`INSERT INTO shop.members (mail, state) VALUES ('sql@example.com', 'trial')`);
  for (const state of ['paid', 'trial', 'gone', 'paid']) await update(state);
  expect(await flagsOf('sql@example.com')).toEqual([false, false, true, false, true]);
});

test('a changed file counts from the next start, and without one any status may follow any', async () => {
  const email = 'changed@example.com';
  await api.post({ email, status: 'trial' }).expect(201);
  await api.patch(email, { status: 'paused' }).expect(409);
  await world.stop();
  await startWith({ ...TRANSITIONS, trial: { next: ['paused'] } });
  const { body } = await api.patch(email, { status: 'paid' }).expect(409);
  expect(body).toMatchObject({ from: 'trial', allowed: ['paused'] });
  await api.patch(email, { status: 'paused' }).expect(200);
  await world.stop();
  const free = await world.startBeside({ servers: [['api']], env: { ...ENV, STATUS_TRANSITIONS_FILE: '' } });
  for (const status of ['trial', 'gone', 'trial']) await new SubscriptionsClient(() => free.url).patch(email, { status }).expect(200);
  await free.stop();
  await startWith(TRANSITIONS);
});

test('a file whose statuses are not those of the table keeps the service from using the database', async () => {
  await world.stop();
  writeFileSync(file, JSON.stringify({ trial: { next: ['lost'] }, paid: {}, paused: {}, lost: {} }));
  await world.start();
  expect(await eventually(() => problemOf(world.url, 'db1'))).toBe(
    [
      ['has an entry for "lost", which is none of', 'lost'],
      ['has no entry for "gone", which is one of', 'gone'],
    ]
      .map(
        ([difference]) =>
          `STATUS_TRANSITIONS_FILE: ${file} ${difference} the statuses of DB1.shop.members: trial, paid, paused, gone (its enum type). Correct the file, then restart`,
      )
      .join('\n'),
  );
  await world.stop();
  await startWith(TRANSITIONS);
  await api.post({ email: 'after@example.com', status: 'trial' }).expect(201);
  await api.patch('after@example.com', { status: 'paused' }).expect(409);
});

test('a process whose file is broken ends, and says what is wrong', async () => {
  const broken = join(folder, 'broken.json');
  writeFileSync(broken, '{');
  const { code, output } = await ServerProcess.refusal({ ...world.environment(), STATUS_TRANSITIONS_FILE: broken });
  expect(code).toBe(1);
  expect(output).toContain(`The configuration has a problem:\n  - STATUS_TRANSITIONS_FILE: ${broken} is not valid JSON`);
});

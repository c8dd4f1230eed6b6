import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { callCli, type CommandResult, runCli } from '../../harness/command-line.js';
import { expectEqualDatabases } from '../../harness/databases.js';
import { eventually } from '../../harness/eventually.js';
import { World } from '../../harness/world.js';
import { call, finished, onlyRows } from './runs.js';

const ROWS = 300;
let world: World;

beforeAll(async () => {
  world = await World.started();
});
beforeEach(() => onlyRows(world, ROWS));
afterEach(() => expectEqualDatabases(world));
afterAll(() => world.close());

const drift = (emails: string): Promise<unknown> =>
  world.db2.query(`UPDATE subscriptions SET status = 'drifted' WHERE email IN (${emails})`);

async function drifted(): Promise<string[]> {
  const { rows } = await world.db2.query<{ email: string }>(`SELECT email FROM subscriptions WHERE status = 'drifted' ORDER BY 1`);
  return rows.map(({ email }) => email);
}

test('a range whose bound is not valid text is refused', async () => {
  for (const kind of ['runs', 'resyncs']) {
    const { status } = await call(world, 'POST', kind, { until_email: 'a\u0000' });
    expect(status).toBe(400);
  }
});

test('a run over a range compares no row outside of it', async () => {
  await drift(`'row0010@example.com', 'row0020@example.com', 'row0030@example.com'`);
  const { run } = await call(world, 'POST', 'runs', { after_email: 'row0010@example.com', until_email: 'row0020@example.com' });
  expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired', compared: 10, differing: 1, repaired: 1 });
  expect(await drifted()).toEqual(['row0010@example.com', 'row0030@example.com']);
  const rest = await call(world, 'POST', 'runs', {});
  expect(await finished(world, rest.run.id)).toMatchObject({ compared: ROWS, repaired: 2 });
});

test('a run over changed emails compares only those that the log has since the previous run', async () => {
  const first = await call(world, 'POST', 'runs', {});
  await finished(world, first.run.id);
  await world.db1.query(`UPDATE subscriptions SET plan = 'pro' WHERE email = 'row0010@example.com'`);
  await expectEqualDatabases(world);
  await drift(`'row0010@example.com', 'row0020@example.com'`);
  const { run } = await call(world, 'POST', 'runs', { scope: 'changed' });
  expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired', compared: 1, differing: 1, repaired: 1 });
  expect(await drifted()).toEqual(['row0020@example.com']);
  await finished(world, (await call(world, 'POST', 'runs', {})).run.id);
});

/** Blocks a run where it stores its differences, until the returned function is called. */
async function held(id: number): Promise<() => Promise<void>> {
  const lock = await world.db1.connect();
  await lock.query('BEGIN; LOCK TABLE subscription_sync.reconciliation_differences IN ACCESS EXCLUSIVE MODE');
  await eventually(async () => {
    const { rows } = await world.db1.query<{ in_flight: number }>(
      'SELECT in_flight::int FROM subscription_sync.reconciliation_runs WHERE id = $1',
      [id],
    );
    return rows[0]!.in_flight > 0;
  }, 30_000);
  return async () => {
    await lock.query('COMMIT');
    lock.release();
  };
}

test('a paused run resumes at its position, and another run may start meanwhile', async () => {
  await drift(`'row0010@example.com'`);
  const { run } = await call(world, 'POST', 'runs', {});
  const release = await held(run.id);
  expect((await call(world, 'POST', 'runs', {})).status).toBe(409);
  expect((await call(world, 'POST', `runs/${run.id}/pause`)).run.paused).toBe(true);
  await release();
  const other = await eventually(async () => {
    const started = await call(world, 'POST', 'runs', { until_email: 'row0005@example.com' });
    return started.status === 202 ? started.run : undefined;
  }, 30_000);
  expect(await finished(world, other.id)).toMatchObject({ outcome: 'equal', compared: 5 });
  expect((await call(world, 'GET', `runs/${run.id}`)).run).toMatchObject({ outcome: null, paused: true });
  expect((await call(world, 'POST', `runs/${run.id}/resume`)).status).toBe(200);
  expect(await finished(world, run.id)).toMatchObject({ outcome: 'repaired', differing: 1, repaired: 1 });
  expect((await call(world, 'POST', `runs/${run.id}/pause`)).status).toBe(409);
  expect((await call(world, 'POST', 'runs/999999/pause')).status).toBe(404);
});

/** Opens a run as the schedule does, and blocks it where it stores its differences. */
async function heldScheduledRun(): Promise<{ id: number; release: () => Promise<void> }> {
  await drift(`'row0010@example.com'`);
  const { rows } = await world.db1.query<{ id: number }>(
    `INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair) VALUES ('scheduled', '{"partitions":[],"sequence":0}', true)
     RETURNING id::int`,
  );
  const { id } = rows[0]!;
  return { id, release: await held(id) };
}

test('a scheduled run gives way to a requested one, and continues afterwards', async () => {
  const { id, release } = await heldScheduledRun();
  const requested = await call(world, 'POST', 'runs', { until_email: 'row0005@example.com' });
  expect(requested.status).toBe(202);
  expect((await call(world, 'GET', `runs/${id}`)).run).toMatchObject({ outcome: null, paused: true, yielded: true });
  expect((await call(world, 'POST', 'runs', {})).status).toBe(409);
  await release();
  expect(await finished(world, requested.run.id)).toMatchObject({ outcome: 'equal', compared: 5 });
  expect(await finished(world, id)).toMatchObject({ outcome: 'repaired', differing: 1, repaired: 1, paused: false, yielded: false });
});

test('a scheduled run gives way to one that is resumed, and stays paused when a person pauses it', async () => {
  const first = await heldScheduledRun();
  expect((await call(world, 'POST', `runs/${first.id}/pause`)).run).toMatchObject({ paused: true, yielded: false });
  await first.release();
  const second = await heldScheduledRun();
  expect((await call(world, 'POST', `runs/${first.id}/resume`)).run).toMatchObject({ paused: false, yielded: false });
  expect((await call(world, 'GET', `runs/${second.id}`)).run).toMatchObject({ paused: true, yielded: true });
  expect((await call(world, 'POST', `runs/${second.id}/pause`)).run).toMatchObject({ paused: true, yielded: false });
  await second.release();
  expect(await finished(world, first.id)).toMatchObject({ outcome: 'repaired' });
  const third = await call(world, 'POST', 'runs', { until_email: 'row0005@example.com' });
  await finished(world, third.run.id);
  expect((await call(world, 'GET', `runs/${second.id}`)).run).toMatchObject({ outcome: null, paused: true });
  expect((await call(world, 'POST', `runs/${second.id}/cancel`)).run).toMatchObject({ outcome: 'cancelled' });
});

test('a cancelled run repairs nothing more', async () => {
  await drift(`'row0010@example.com'`);
  const { run } = await call(world, 'POST', 'runs', {});
  const release = await held(run.id);
  await call(world, 'POST', `runs/${run.id}/cancel`);
  await release();
  expect(await finished(world, run.id)).toMatchObject({ outcome: 'cancelled', repaired: 0 });
  expect(await drifted()).toEqual(['row0010@example.com']);
  await finished(world, (await call(world, 'POST', 'runs', {})).run.id);
});

test('runs are started, listed and changed from the command line', async () => {
  await drift(`'row0010@example.com'`);
  // A command does not depend on where the service would listen, nor on its access control.
  const env = { ...world.environment(), HOST: '0.0.0.0', PATH: '' };
  const run = (...args: string[]): Promise<CommandResult> => callCli(['reconcile', ...args], env);
  expect(await runCli(['reconcile', 'compare', '--dry-run'], env)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('1 differing, 0 repaired, differs'),
  });
  expect(await run('compare', '--until', 'row0020@example.com')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('20 compared, 1 differing, 1 repaired, repaired'),
  });
  expect((await run('list')).stdout.split('\n')[0]).toContain('20 compared');
  expect(await callCli(['backfill', '--until', 'row0020@example.com'], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('20 compared, 0 differing, 0 repaired, resynced'),
  });
  expect((await run('list')).stdout).not.toContain('Older runs');
  await world.db1.query(
    `INSERT INTO subscription_sync.reconciliation_runs (reason, evidence, repair, outcome, finished_at, snapshot)
     SELECT reason, evidence, repair, outcome, finished_at, snapshot FROM generate_series(1, 20),
       (SELECT * FROM subscription_sync.reconciliation_runs ORDER BY id DESC LIMIT 1) newest`,
  );
  const listed = (await run('list')).stdout.trim().split('\n');
  expect(listed).toHaveLength(21);
  expect(listed.at(-1)).toBe('Older runs are not listed: GET /reconciliation/runs lists all of them.');
  expect(await callCli(['backfill', '--rate', 'fast'], env)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--rate must be a whole number'),
  });
  expect(await run('pause', '999999')).toMatchObject({ code: 1, stderr: 'There is no run with this id\n' });
  expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: subscription-sync reconcile') });
});

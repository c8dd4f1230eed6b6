import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { placeOf } from '../harness/addresses.js';
import { callCli, type CommandResult, startCli } from '../harness/command-line.js';
import { eventually } from '../harness/eventually.js';
import { TcpProxy } from '../harness/tcp-proxy.js';
import { World } from '../harness/world.js';

/** A column of type json keeps the line breaks of its text. */
const TABLE = 'CREATE TABLE members (email text UNIQUE NOT NULL, status text, note json)';

let world: World;
let proxy: TcpProxy;

beforeAll(async () => {
  proxy = await TcpProxy.to(placeOf('db1'), { kind: 'pass' });
  world = await World.create({ unmigrated: true, servers: [['api']], env: { DB1_TABLE: 'members', STATUSES: 'trialing,active,past_due' } });
  await world.db1.query(TABLE);
  await world.start();
  await world.ready();
});
afterAll(async () => {
  await world.close();
  await proxy.close();
});

/** Reaches Database 1 through the proxy. */
const environment = (): Readonly<Record<string, string>> => ({
  ...world.environment(),
  DB1_HOST: '127.0.0.1',
  DB1_PORT: String(proxy.port),
});
const tail = (...options: string[]): Promise<CommandResult> => callCli(['tail', ...options], environment());

/** Returns the lines about changes that there are. */
async function shown(...options: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await tail('--no-follow', ...options);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.split('\n').slice(0, -1);
}

test('the changes that match are shown, with who made them', async () => {
  await world.db1.query(`INSERT INTO members VALUES ('Tail@Example.com', 'trialing'), ('other@example.com', 'active')`);
  await world.db1.query(`UPDATE members SET status = 'active' WHERE email = 'Tail@Example.com'`);
  await world.db1.query(`DELETE FROM members WHERE email = 'Tail@Example.com'`);
  const options = ['--since', '10m', '--email', 'tail@EXAMPLE.com'];
  expect(await shown(...options)).toEqual([
    expect.stringMatching(/^\S+ +\d+ +created +tail@example\.com +trialing +by \S/),
    expect.stringMatching(/updated +tail@example\.com +trialing → active +by /),
    expect.stringMatching(/deleted +tail@example\.com +active +by /),
  ]);
  expect(await shown(...options, '--operation', 'updated')).toHaveLength(1);
  expect(await shown(...options, '--status', 'active')).toEqual([expect.stringContaining('updated')]);
  const [event] = await shown(...options, '--json', '--operation', 'deleted');
  expect(JSON.parse(event!)).toMatchObject({ type: 'subscription.deleted', subject: 'tail@example.com' });
  expect(await shown()).toEqual([]);
});

test('a change is left out if it was made before --since, also if it was committed after it', async () => {
  const client = await world.db1.connect();
  const insert = (email: string): Promise<unknown> => client.query(`INSERT INTO members VALUES ($1, 'active')`, [email]);
  await client.query('BEGIN');
  await insert('made-before@example.com');
  const { rows } = await client.query<{ since: string }>(
    `SELECT to_char(occurred_at AT TIME ZONE 'UTC' + interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS since
     FROM subscription_sync.changes WHERE email = 'made-before@example.com'`,
  );
  await client.query('COMMIT');
  await insert('made-after@example.com');
  client.release();
  expect(await shown('--since', rows[0]!.since)).toEqual([expect.stringContaining('made-after@example.com')]);
});

test('with --json, each event is one line, whatever its values', async () => {
  await world.db1.query(`INSERT INTO members VALUES ('lines@example.com', 'active', E'{\n  "a": 1,\r\n  "b": 2\n}')`);
  const lines = await shown('--json', '--since', '10m', '--email', 'lines@example.com');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ data: expect.objectContaining({ subscription: expect.objectContaining({ note: { a: 1, b: 2 } }) }) }),
  ]);
});

test('the log is followed until Ctrl-C, also when Database 1 is away for a while', async () => {
  const following = startCli(['tail', '--since', '1h', '--status', 'past_due'], environment());
  const follows = async (email: string): Promise<void> => {
    await world.db1.query(`INSERT INTO members VALUES ($1, 'past_due')`, [email]);
    await eventually(() => following.output().includes(email));
  };
  await follows('first@example.com');
  await proxy.set({ kind: 'refuse' });
  await eventually(() => following.errors().includes('Database 1 does not answer'));
  await proxy.set({ kind: 'pass' });
  await follows('second@example.com');
  const { code, stdout, stderr } = await following.interrupt();
  expect([code, stdout.trim().split('\n').length, stderr.trim().split('\n').length]).toEqual([0, 2, 1]);
});

test('with --no-follow, a Database 1 that is away ends the command', async () => {
  await proxy.set({ kind: 'refuse' });
  expect(await tail('--since', '1h', '--no-follow')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^Database 1 \(.* cannot be used: /),
  });
});

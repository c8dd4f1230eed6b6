import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { callCli, type CommandResult, startCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { putOnTopic, World } from '../harness/world.js';

let world: World;

beforeAll(async () => {
  world = await World.started({ capture: 'wal' });
});
afterAll(() => world.close());

const cli = (...args: string[]): Promise<CommandResult> => callCli(args, world.environment());

/** Parses lines of JSON. */
function parseLines(stdout: string): unknown[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

/** Lets DB2 refuse plans of more than five letters, until the constraint is dropped. */
const NARROW = 'ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) <= 5) NOT VALID';
const WIDE = 'ALTER TABLE subscriptions DROP CONSTRAINT IF EXISTS narrow';

interface Letter {
  readonly id: number;
  readonly error_class: string;
}

async function letters(count: number): Promise<Letter[]> {
  return eventually(async () => {
    const found = parseLines((await cli('dead-letters', 'list', '--json')).stdout) as Letter[];
    return found.length === count && found;
  });
}

test('status shows every part, and exits with 0 while all is in order', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('status@example.com', 'active')`);
  await expectEqualDatabases(world);
  const status = await eventually(async () => {
    const { code, stdout } = await cli('status', '--json');
    const [found] = parseLines(stdout) as { state: string }[];
    return code === 0 && found?.state === 'in_sync' && found;
  });
  expect(status).toMatchObject({
    database1: { address: expect.stringContaining(`/${world.name}`), version: expect.any(String) },
    database2: { address: expect.stringContaining(`/${world.name}`) },
    kafka: { topic: world.topic, partitions: 3 },
    sync: { captured_by: 'wal', slot: { name: world.name, active: true, lost: false }, unpublished: { changes: 0 }, unpublishable: 0 },
    apply: { records: 0 },
    dead_letters: { open: 0, by_class: {} },
    problems: [],
  });
  const { code, stdout } = await cli('status');
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`^Capture +by wal, replication slot ${world.name} is in use, .* of WAL kept$`, 'm'));
  expect(stdout).toContain('In order: nothing is on the way.');
});

test('status shows the other parts when some cannot be reached, and exits with 1', async () => {
  const { code, stdout } = await callCli(['status'], { ...world.environment(), DB2_PORT: '1', KAFKA_SERVER: '127.0.0.1:1' });
  expect(code).toBe(1);
  expect(stdout).toMatch(/^Database 1 +PostgreSQL /m);
  expect(stdout).toMatch(/^Database 2 +UNKNOWN: .*:1\/.* cannot be used/m);
  expect(stdout).toMatch(/^Kafka +UNKNOWN: /m);
  expect(stdout).toMatch(/^Capture +by wal/m);
  expect(stdout).toContain('There are 2 problems.');
});

test('status says what does not go on', async () => {
  await world.stop();
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('stopped@example.com', 'active')`);
  const { code, stdout } = await cli('status');
  await world.start();
  await world.ready();
  expect(code).toBe(1);
  expect(stdout).toMatch(/^Capture +NOT RUNNING, replication slot .* is not in use/m);
  expect(stdout).toMatch(/^To Kafka +1 change, the oldest /m);
  expect(stdout).toContain('- No process captures Database 1: start one with the role sync.');
});

test('status reports records that have waited for a minute, and not those that have just come', async () => {
  await World.lend(async (idle) => {
    const put = (timestamp: number): Promise<void> => putOnTopic(idle, [{ value: null, timestamp: String(timestamp) }]);
    const admin = idle.kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: idle.topic, numPartitions: 1 }], waitForLeaders: true });
    await admin.disconnect();
    const status = async (): Promise<{ apply: unknown; problems: string[] }> => {
      const { stdout } = await callCli(['status', '--json'], idle.environment());
      return parseLines(stdout)[0] as { apply: unknown; problems: string[] };
    };
    const problem = 'Database 2 has not applied 2 records of the topic for more than 60 s.';
    for (const waitedS of [130, 120]) await put(Date.now() - waitedS * 1_000);
    expect(await status()).toMatchObject({ apply: { records: 2, late: 2 }, problems: expect.arrayContaining([problem]) });
    await put(Date.now());
    expect(await status()).toMatchObject({ apply: { records: 3, late: 2 }, problems: expect.arrayContaining([problem]) });
    await idle.db2.query(`INSERT INTO subscription_sync.positions (topic, partition, "offset", version) VALUES ('${idle.topic}', 0, 1, 1)`);
    const { apply, problems } = await status();
    expect(apply).toEqual({ records: 1, late: 0 });
    expect(problems).not.toContainEqual(expect.stringContaining('has not applied'));
  });
});

test('status --watch prints one block after another without a terminal, and ends on Ctrl-C', async () => {
  const watching = startCli(['status', '--watch', '1', '--json'], world.environment());
  await eventually(() => watching.output().trim().split('\n').length >= 2);
  const { code, stdout } = await watching.interrupt();
  expect(code).toBe(0);
  expect(parseLines(stdout)[1]).toMatchObject({ kafka: { topic: world.topic } });
});

test('dead letters are listed, shown, redriven and discarded, and acts are recorded', async () => {
  await world.db2.query(NARROW);
  await world.db1.query(
    `INSERT INTO subscriptions (email, plan) VALUES ('wide1@example.com', 'too wide'), ('wide2@example.com', 'too wide')`,
  );
  await putOnTopic(world, [{ key: 'x@example.com', value: 'no event' }]);
  const open = await letters(3);
  const [wide, other] = open.filter(({ error_class: name }) => name === '23514');
  const bad = open.find(({ error_class: name }) => name === 'not-json')!;

  expect((await cli('status')).stdout).toMatch(/^Dead letters +3 open: 2 23514, 1 not-json$/m);
  expect((await cli('dead-letters', 'list', '--error-class', 'not-json')).stdout).not.toContain('23514');
  expect((await cli('dead-letters', 'show', String(bad.id))).stdout).not.toContain('no event');
  expect((await cli('dead-letters', 'show', String(bad.id), '--content')).stdout).toContain('value (utf8): no event');

  expect(await cli('dead-letters', 'redrive', String(wide!.id))).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('Failed again: 23514'),
  });
  await world.db2.query(WIDE);
  expect(await cli('dead-letters', 'redrive', String(wide!.id))).toMatchObject({ code: 0, stdout: `dead letter ${wide!.id}: applied\n` });
  expect(await cli('dead-letters', 'redrive', '--all', '--json')).toMatchObject({
    code: 1,
    stdout: '{"applied":1,"superseded":0,"failed":1}\n',
  });
  expect(await cli('dead-letters', 'discard', String(bad.id))).toMatchObject({ code: 0, stdout: expect.stringContaining('discarded') });
  expect(await cli('dead-letters', 'discard', String(bad.id))).toMatchObject({ code: 1, stderr: expect.stringContaining('is discarded') });
  expect((await cli('dead-letters', 'list')).stdout).toBe('There are no such dead letters.\n');
  expect(parseLines((await cli('dead-letters', 'list', '--state', 'any', '--json')).stdout)).toContainEqual(
    expect.objectContaining({ id: other!.id, state: 'applied' }),
  );
  await expectEqualDatabases(world);

  const { rows } = await world.db1.query(`SELECT DISTINCT action FROM subscription_sync.audit WHERE actor LIKE 'cli:%' ORDER BY 1`);
  expect(rows).toEqual(['dead_letter.discard', 'dead_letter.redrive', 'dead_letter.redrive_all'].map((action) => ({ action })));
});

test.each([
  [['dead-letters', 'redrive'], 'Name the id of a dead letter, or --all'],
  [['dead-letters', 'redrive', '1', '--all'], 'Name the id of a dead letter, or --all'],
  [['dead-letters', 'show'], 'Name the id of a dead letter'],
  [['dead-letters', 'list', '--state', 'lost'], '--state must be one of open, applied'],
  [['status', '--watch', 'often'], '--watch must be a whole number'],
  [['tail', '--since', 'yesterday'], '--since must be an instant such as'],
  [['tail', '--operation', 'removed'], '--operation must be one of created, updated'],
  [['nothing'], "unknown command 'nothing'"],
])('%j is refused with exit code 2', async (args, why) => {
  expect(await cli(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
});

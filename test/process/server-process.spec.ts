import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

test('an invalid environment is reported in one message that lists all errors and no secret', async () => {
  const { code, output } = await ServerProcess.refusal({
    ROLES: 'api,admin',
    PORT: '70000',
    LOG_LEVEL: 'loud',
    DB1_HOST: 'localhost',
    DB1_PASSWORD: 'hunter2',
    DB1_POOL_SIZE: '0',
    DB2_HOST: ' ',
    KAFKA_SERVER: 'localhost',
    KAFKA_TOPIC: 'no topic',
    CAPTURE: 'magic',
    CAPTURE_SLOT: 'Slot!',
    SYNC_INTERVAL_MS: '1.5',
    LOG_RETENTION_DAYS: '-1',
  });
  expect(code).toBe(1);
  expect(output).toBe(`The configuration has 16 problems:
  - ROLES must list some of api, sync, replica, but is "api,admin"
  - DB1_USER is required
  - DB1_DATABASE is required
  - DB1_POOL_SIZE must be a whole number from 1 to 1000, but is "0"
  - PORT must be a whole number from 0 to 65535, but is "70000"
  - LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent, but is "loud"
  - DB2_HOST is required
  - DB2_USER is required
  - DB2_PASSWORD is required (it may be empty), or DB2_PASSWORD_FILE with the file that has it
  - DB2_DATABASE is required
  - KAFKA_SERVER must be host:port, comma-separated, but has "localhost"
  - KAFKA_TOPIC must be a Kafka topic name (letters, digits, . _ -, at most 249), but is "no topic"
  - CAPTURE must be one of auto, wal, poll, but is "magic"
  - SYNC_INTERVAL_MS must be a whole number from 1 to 3600000, but is "1.5"
  - CAPTURE_SLOT must be up to 63 of a-z, 0-9 and _, but is "Slot!"
  - LOG_RETENTION_DAYS must be a whole number from 1 to 36500, but is "-1"
Set them in the environment or in .env (.env.example explains each).
`);
});

test('a port in use is reported in one clear message', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const port = String((other.address() as AddressInfo).port);
  const world = await World.create({ timings: DEFAULT_TIMINGS });
  const { code, output } = await ServerProcess.refusal({ ...world.environment(), PORT: port });
  other.close();
  await world.close();
  expect(code).toBe(1);
  expect(output).toContain(
    `The configuration has a problem:\n  - The server cannot listen on HOST 127.0.0.1 and PORT ${port}: another program already listens there\n`,
  );
  expect(output).not.toMatch(/^ {4}at /m);
});

test('SIGINT ends the process with 0, and nothing is left behind', async () => {
  const world = await World.create({ timings: DEFAULT_TIMINGS });
  const server = await ServerProcess.start(world.environment());
  expect(await server.signal('SIGINT')).toBe(0);
  await world.close();
});

test('SIGTERM ends the process even when a database does not answer, and nothing is lost', async () => {
  const world = await World.create({ timings: DEFAULT_TIMINGS, env: { SHUTDOWN_TIMEOUT_MS: '5000' } });
  const server = await ServerProcess.start(world.environment());
  const client = await world.db2.connect();
  await client.query('BEGIN; LOCK TABLE subscriptions IN EXCLUSIVE MODE');
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('ada@example.com')`);
  await eventually(
    async () =>
      (await client.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1`, [world.name])).rowCount === 1,
  );
  expect(await server.signal('SIGTERM')).toBe(1);
  expect(server.output).toBe(
    'The stop took longer than SHUTDOWN_TIMEOUT_MS, 5000 ms. Not finished: applying the batches in flight to DB2 and leaving the consumer ' +
      'group. Nothing is lost: the next process continues.\n',
  );
  await client.query('COMMIT');
  client.release();
  await world.start();
  await expectEqualDatabases(world);
  await world.close();
});

test('logs and metrics never contain an email, whatever happens to it; SIGTERM ends the process with 0, and nothing is left behind', async () => {
  const world = await World.create({ timings: DEFAULT_TIMINGS });
  await world.db1.query(`ALTER TABLE subscriptions ADD CONSTRAINT no_nine CHECK (plan <> 'nine')`);
  const server = await ServerProcess.start({ ...world.environment(), LOG_LEVEL: 'trace' });
  const secret = 'secretperson';
  const send = async (method: string, path: string, body?: unknown): Promise<number> => {
    const { status } = await fetch(`${server.url}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    return status;
  };
  const email = `${secret}@example.com`;
  const statuses = [
    await send('POST', '/subscriptions', { email, status: 'active' }),
    await send('POST', '/subscriptions', { email, status: 'active' }),
    await send('GET', `/subscriptions/${email}`),
    await send('GET', `/subscriptions/${email}x`),
    await send('GET', `/nowhere/${email}`),
    await send('GET', `/subscriptions/%${email}`),
    await send('PUT', `/subscriptions/${email}`, { status: secret }),
    await send('PATCH', `/subscriptions/${email}`, { plan: 'nine' }),
    await send('GET', `/subscriptions?status=${email}&page=1`),
  ];
  expect(statuses).toEqual([201, 409, 200, 404, 404, 400, 400, 400, 400]);
  await world.db2.query('ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) < 5)');
  await world.db1.query(`UPDATE subscriptions SET email = 'other-${secret}@example.com', plan = 'too wide'`);
  await eventually(async () => (await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount === 1);
  await world.db2.query('ALTER TABLE subscription_sync.positions RENAME TO away');
  await world.db1.query(`INSERT INTO subscriptions (email) VALUES ('third-${secret}@example.com')`);
  await eventually(() => server.output.includes('The replica is stopped'));
  await world.db2.query('ALTER TABLE subscription_sync.away RENAME TO positions');
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const ready = await (await fetch(`${server.url}/health/ready`)).text();
  expect(await server.signal('SIGTERM')).toBe(0);
  await world.close();
  expect(server.output).toMatch(/"request_id":"[\w-]{36}","method":"GET","route":"\/subscriptions\/:email"/);
  for (const text of [server.output, metrics, ready]) expect(text).not.toContain(secret);
});

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SCOPES } from '#http';
import { bearer, makeKey } from '../../harness/credentials.js';
import { eventually } from '../../harness/eventually.js';
import { ServerProcess } from '../../harness/server-process.js';
import { World } from '../../harness/world.js';

interface Operation {
  readonly requestBody?: unknown;
}

/** A mark that every email contains, and nothing else. */
const MARK = `canary${randomBytes(6).toString('hex')}`;
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
/** Values that a client may send as an email: valid, invalid, escaped, in capitals. */
const SPELLINGS = [
  `${MARK}@example.com`,
  `${MARK.toUpperCase()}@EXAMPLE.COM`,
  ` ${MARK}@example.com `,
  `${MARK}@nowhere`,
  `${MARK} at example.com`,
  `${MARK}@example.com'; DROP TABLE x; --`,
  `${MARK}@exa\u0000mple.com`,
  `${MARK}@${'x'.repeat(300)}.com`,
];

let world: World;
let server: ServerProcess;
let key: string;
/** Error texts: the parts of a response that are not a resource. */
const errors: string[] = [];

beforeAll(async () => {
  world = await World.create({
    env: { ACCESS: 'required', LOG_LEVEL: 'trace', RATE_LIMIT_PER_ADDRESS: '0', AUTH_FAILURES_PER_ADDRESS: '0' },
  });
  server = await ServerProcess.start(world.environment());
  key = await makeKey(world.db1, ...SCOPES);
});
afterAll(async () => {
  await server.signal('SIGKILL');
  await world.close();
});

async function send(method: string, path: string, body: string | null, headers: Record<string, string> = {}): Promise<number> {
  const stop = new AbortController();
  const response = await fetch(server.url + path, {
    method,
    body,
    signal: stop.signal,
    headers: { ...bearer(key), ...(body === null ? {} : { 'content-type': 'application/json' }), ...headers },
  });
  if (response.status >= 400) errors.push(`${method} ${path.replaceAll(new RegExp(MARK, 'gi'), 'x')}: ${await response.text()}`);
  // A stream may never end.
  stop.abort();
  return response.status;
}

/** Bodies that contain the mark wherever an email may be, or where a client may put one by mistake. */
function bodiesWith(email: string): string[] {
  return [
    JSON.stringify({ email, status: 'active' }),
    JSON.stringify({ email, status: email, plan: email, access_until: email, metadata: { [email]: email } }),
    JSON.stringify({ status: 'active', plan: email }),
    JSON.stringify({ [email]: email }),
    JSON.stringify([email]),
    JSON.stringify(email),
    `{"email": "${MARK}@example.com", `,
  ];
}

test('no log line, metric or error text contains an email, whatever is sent to any route', async () => {
  const { paths } = (await (await fetch(`${server.url}/docs-json`)).json()) as { paths: Record<string, Record<string, Operation>> };
  const statuses = new Set<number>();
  const sent = new Set<string>();
  /** Sends a request unless it was sent before: a path without parameters is the same for every spelling. */
  const sendOnce = async (method: string, path: string, body: string | null): Promise<void> => {
    const request = JSON.stringify([method, path, body]);
    if (sent.has(request)) return;
    sent.add(request);
    statuses.add(await send(method, path, body));
  };
  for (const [path, operations] of Object.entries(paths)) {
    for (const method of METHODS.filter((name) => name in operations)) {
      for (const email of SPELLINGS) {
        const url = path.replaceAll(/\{\w+\}/g, encodeURIComponent(email));
        const query = `?email=${encodeURIComponent(email)}&email_prefix=${encodeURIComponent(email)}&cursor=${encodeURIComponent(email)}`;
        const bodies = method === 'get' || method === 'delete' ? [null] : bodiesWith(email);
        for (const body of bodies) await sendOnce(method.toUpperCase(), url, body);
        await sendOnce(method.toUpperCase(), url + query, bodies[0]!);
      }
      const headers = {
        'if-match': `"${MARK}@example.com"`,
        'idempotency-key': `${MARK}@example.com`,
        prefer: `wait=${MARK}@example.com`,
        traceparent: MARK,
      };
      const url = path.replaceAll(/\{\w+\}/g, `${MARK}@example.com`);
      statuses.add(
        await send(
          method.toUpperCase(),
          url,
          method === 'get' || method === 'delete' ? null : bodiesWith(`${MARK}@example.com`)[0]!,
          headers,
        ),
      );
    }
  }
  await send('GET', `/nowhere/${MARK}@example.com`, null);
  await send('GET', `/subscriptions/${MARK}%ff@example.com`, null);
  await send('POST', '/subscriptions', `${MARK}@example.com`, { 'content-type': 'text/plain' });
  await send('POST', '/subscriptions', JSON.stringify({ email: `${MARK}@example.com`, plan: 'x'.repeat(70_000) }));
  await send('GET', `/subscriptions/${MARK}@example.com`, null, bearer(`${MARK}@example.com`));
  expect([...statuses]).toEqual(expect.arrayContaining([200, 201, 204, 400, 404, 409]));

  await makeTrouble();
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const ready = await (await fetch(`${server.url}/health/ready`, { headers: bearer(key) })).text();
  const found = [...server.output.split('\n'), ...metrics.split('\n'), ready, ...errors].filter((line) =>
    line.toLowerCase().includes(MARK),
  );
  expect(found).toEqual([]);
  // A leak would have been logged: the log level was the most verbose one.
  expect(server.output).toMatch(/"level":"debug"/);
  expect(server.output).toMatch(/"route":"\/subscriptions\/:email"/);
});

/** Creates rows and records that the pipeline rejects: a dead letter, a constraint, a foreign record, a difference, an unexpected error. */
async function makeTrouble(): Promise<void> {
  const { db1, db2 } = world;
  await db2.query('ALTER TABLE subscriptions ADD CONSTRAINT narrow CHECK (length(plan) < 3)');
  await db1.query(`INSERT INTO subscriptions (email, plan) VALUES ('wide.${MARK}@example.com', 'wide')`);
  const producer = world.kafka.producer();
  await producer.connect();
  const messages = [
    '{',
    `{"email": "${MARK}@example.com"}`,
    JSON.stringify({ specversion: '1.0', type: 'subscription.created', subject: `${MARK}@example.com` }),
  ];
  await producer.send({ topic: world.topic, messages: messages.map((value) => ({ key: `${MARK}@example.com`, value })) });
  await producer.disconnect();
  await eventually(async () => (await db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount! >= 4);
  expect(await send('POST', '/dead-letters/redrive', null)).toBe(200);
  await db2.query('ALTER TABLE subscriptions DROP CONSTRAINT narrow');
  await db2.query(`DELETE FROM subscriptions WHERE email LIKE '%${MARK}%'`);
  expect(await send('POST', '/reconciliation/runs', '{}')).toBe(202);
  await eventually(
    async () => (await db1.query('SELECT FROM subscription_sync.reconciliation_runs WHERE finished_at IS NOT NULL')).rowCount! > 0,
    40_000,
  );

  await db1.query(`ALTER TABLE subscriptions ADD CONSTRAINT yours CHECK (plan <> 'forbidden') NOT VALID`);
  await send('PUT', `/subscriptions/${MARK}@example.com`, JSON.stringify({ status: 'active', plan: 'forbidden' }));
  await db1.query(`CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not %', NEW.email USING ERRCODE = 'XX000'; END $$;
    CREATE TRIGGER a_break BEFORE INSERT OR UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION break()`);
  expect(await send('PUT', `/subscriptions/broken.${MARK}@example.com`, JSON.stringify({ status: 'active' }))).toBe(500);
}

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DEFAULT_TIMINGS } from '#config';
import { bearer, Issuer, makeKey } from '../harness/credentials.js';
import { eventually } from '../harness/eventually.js';
import { ServerProcess } from '../harness/server-process.js';
import { World } from '../harness/world.js';

const ADDRESS = '198.51.100.7';
/** The window began in 1970 and ends in 2096, so that none ends during the test. */
const TIMINGS = { auth: { ...DEFAULT_TIMINGS.auth, rateLimitWindowMs: 4_000_000_000_000 } };

let issuer: Issuer;
let world: World;
let server: ServerProcess;
let requests = 0;

beforeAll(async () => {
  issuer = await Issuer.start();
  world = await World.create({
    timings: TIMINGS,
    env: { ...issuer.environment, LOG_LEVEL: 'info', TRUSTED_PROXIES: '127.0.0.1', RATE_LIMIT_PER_KEY: '2' },
  });
  server = await ServerProcess.start(world.environment(['api']));
});
afterAll(async () => {
  await server.signal('SIGTERM');
  await world.close();
  await issuer.stop();
});

const idOf = (key: string): string => key.split('_')[1]!;

/** Sends a request. @returns its line in the log. */
async function logged(path: string, headers: Record<string, string> = {}): Promise<Record<string, unknown>> {
  requests += 1;
  const id = `r${requests}`;
  await fetch(server.url + path, { headers: { 'x-forwarded-for': ADDRESS, 'x-request-id': id, ...headers } });
  const line = await eventually(async () => server.output.split('\n').find((text) => text.includes(`"request_id":"${id}"`)));
  return JSON.parse(line) as Record<string, unknown>;
}

test('each request is logged with its caller and address, also when it is refused with 401, 403 or 429', async () => {
  const key = await makeKey(world.db1, 'read', 'export');
  const caller = { caller: `key:${idOf(key)}`, address: ADDRESS };
  expect(await logged('/subscriptions', bearer(key))).toMatchObject({ status: 200, route: '/subscriptions', ...caller });
  expect(await logged('/access/keys', bearer(key))).toMatchObject({ status: 403, ...caller });
  expect(await logged('/subscriptions', bearer(key))).toMatchObject({ status: 429, ...caller });
  const nobody = await logged('/subscriptions');
  expect(nobody).toMatchObject({ status: 401, caller: '-', address: ADDRESS });
  expect(nobody).not.toHaveProperty('claimed_key');
  expect(await logged('/nowhere')).toMatchObject({ status: 404, caller: '-', address: ADDRESS });
});

test('a refused key is named by its id, and its secret never reaches the log', async () => {
  const key = await makeKey(world.db1, 'read', 'export');
  const wrong = `${key.slice(0, 21)}${'B'.repeat(43)}`;
  expect(await logged('/subscriptions', bearer(wrong))).toMatchObject({ status: 401, caller: '-', claimed_key: idOf(key) });
  expect(server.output).not.toContain('B'.repeat(43));
  expect(server.output).not.toContain(key.slice(21));
});

test('an email never reaches the log, whether it is the subject of a token or sent as an address', async () => {
  const token = await issuer.token({ sub: 'ada@example.com', scope: 'export' });
  const line = await logged('/subscriptions', bearer(token));
  expect(line).toMatchObject({ status: 200, caller: expect.stringMatching(/^oidc:[\w-]{22}$/) });
  expect(await logged('/subscriptions', { 'x-forwarded-for': 'ada@example.com' })).toMatchObject({ status: 401, address: '127.0.0.1' });
  expect(server.output).not.toContain('ada@');
});

test('SIGUSR2 changes the level of the running process', async () => {
  server.send('SIGUSR2');
  await eventually(() => server.output.includes('"code":"log-level","msg":"The log level is debug now. SIGUSR2 sets it to info."'));
  server.send('SIGUSR2');
  await eventually(() => server.output.includes('"msg":"The log level is info now. SIGUSR2 sets it to debug."'));
  expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
});

import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SCOPES } from '#http';
import { bearer, keysIn, TESTER } from '../harness/credentials.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { World } from '../harness/world.js';
import { findSchemathesis, type Schemathesis } from './find-schemathesis.js';
import { runSchemathesis } from './run-schemathesis.js';

/**
 * Sizes of a run. `examples`: test cases per operation while fuzzing. `chainsFor`: duration (s) of the chains. `requests`, `scenarios`: the
 * minimum that must be reached. The other phases make about 2,700 requests in any case.
 */
const SIZES = {
  full: { examples: 100, chainsFor: 60, requests: 5_000, scenarios: 100 },
  quick: { examples: 2, chainsFor: 6, requests: 2_000, scenarios: 10 },
};
const DEAD_LETTERS = 49;

/**
 * `npm run test:conformance` tests the service against its OpenAPI document. Schemathesis (PyPI) sends valid and invalid requests, and chains
 * of requests, with all its checks. `--quick` makes fewer requests. With `--if-possible` it is not a failure if Schemathesis cannot be
 * installed.
 */
const { values: options } = parseArgs({ options: { quick: { type: 'boolean' }, 'if-possible': { type: 'boolean' } } });
const size = SIZES[options.quick ? 'quick' : 'full'];
const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
// The parts start in parallel with the installation.
const starting = Parts.start();
try {
  const [schemathesis, parts] = await Promise.all([findSchemathesis(folder), starting]);
  process.exitCode = (await conforms(schemathesis, parts)) ? 0 : 1;
} catch (error) {
  const { message } = error as Error;
  if (!options['if-possible'] || !message.startsWith("Schemathesis can't be installed")) throw error;
  console.log(`SKIPPED: the conformance of the API to its document. ${message}`);
} finally {
  await (await starting).close();
  rmSync(folder, { recursive: true, force: true });
}

async function conforms(schemathesis: Schemathesis, parts: Parts): Promise<boolean> {
  const unlimited = { RATE_LIMIT_PER_KEY: '0', RATE_LIMIT_PER_ADDRESS: '0', AUTH_FAILURES_PER_ADDRESS: '0' };
  const world = await World.started({ parts: parts.addresses, env: { ACCESS: 'required', ...unlimited } });
  try {
    const { key, id } = await keysIn(world.db1).create('conformance', [...SCOPES], undefined, TESTER);
    const get = (path: string): Promise<Response> => fetch(`${world.url}${path}`, { headers: bearer(key) });
    await fill(world);
    const { next_cursor: feedCursor } = (await (await get('/events?limit=3')).json()) as { next_cursor: string };
    const subject = { url: world.url, key, keyId: id, feedCursor, folder };
    const all = await runSchemathesis(schemathesis, subject, ['--max-examples', String(size.examples)]);
    // A chain that is repeated meets its own earlier changes. If that changes which requests may follow, Schemathesis ends its chains silently
    // after about 20. With a time limit it starts again until the time is over.
    const chains = await runSchemathesis(schemathesis, subject, ['--phases', 'stateful', '--max-time', String(size.chainsFor)]);
    const requests = all.requests + chains.requests;
    const scenarios = all.scenarios + chains.scenarios;
    const allowed = (await get('/access/keys')).status === 200;
    console.log(
      `${requests} requests (at least ${size.requests}), ${scenarios} chains of them (at least ${size.scenarios}); ` +
        `without an error: ${all.passed && chains.passed}; the key is still valid: ${allowed}`,
    );
    return all.passed && chains.passed && requests >= size.requests && scenarios >= size.scenarios && allowed;
  } finally {
    await world.close();
  }
}

/** Writes subscriptions to read, and creates dead letters. */
async function fill(world: World): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'user' || n || '@example.com', 'active' FROM generate_series(1, 30) n`,
  );
  const producer = world.kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: DEAD_LETTERS }, (_, n) => ({ key: `bad${n}@example.com`, value: 'not JSON' }));
  await producer.send({ topic: world.topic, messages });
  await producer.disconnect();
  await eventually(async () => (await world.db2.query('SELECT FROM subscription_sync.dead_letters')).rowCount === DEAD_LETTERS);
}

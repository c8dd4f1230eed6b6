import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SCOPES } from '#operations';
import { bearer, keysIn } from '../harness/credentials.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { makeTemplates } from '../harness/templates.js';
import { World } from '../harness/world.js';
import { findSchemathesis } from './find-schemathesis.js';
import { runSchemathesis } from './run-schemathesis.js';

/** Test cases for each operation while fuzzing. The other phases make some 2,700 requests whatever this is. */
const EXAMPLES = { full: 100, quick: 2 };
const AT_LEAST = { full: 5_000, quick: 2_000 };
const DEAD_LETTERS = 49;

/**
 * `npm run test:conformance`: does the service what its OpenAPI document says? Schemathesis (PyPI) sends requests that fit the document and
 * requests that don't, and chains of them; all its checks are on. `--quick` makes fewer requests. `--if-possible`: where Python can't install
 * it, that is said and is no failure.
 */
const { values: options } = parseArgs({ options: { quick: { type: 'boolean' }, 'if-possible': { type: 'boolean' } } });
const size = options.quick ? 'quick' : 'full';
const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
try {
  const command = await findSchemathesis(folder);
  process.exitCode = (await conforms(command)) ? 0 : 1;
} catch (error) {
  const { message } = error as Error;
  if (!options['if-possible'] || !message.startsWith("Schemathesis can't be installed")) throw error;
  console.log(`SKIPPED: the conformance of the API to its document. ${message}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function conforms(command: string): Promise<boolean> {
  const parts = await Parts.start();
  await makeTemplates(parts.addresses);
  const unlimited = { RATE_LIMIT_PER_KEY: '0', RATE_LIMIT_PER_ADDRESS: '0', AUTH_FAILURES_PER_ADDRESS: '0' };
  const world = await World.started({ parts: parts.addresses, env: { ACCESS: 'required', ...unlimited } });
  try {
    const { key, id } = await keysIn(world.db1).create('conformance', [...SCOPES], undefined, 'test');
    const ask = (path: string): Promise<Response> => fetch(`${world.url}${path}`, { headers: bearer(key) });
    await fill(world);
    const { next_cursor: feedCursor } = (await (await ask('/events?limit=3')).json()) as { next_cursor: string };
    const { exitCode, requests } = await runSchemathesis(command, {
      url: world.url,
      key,
      keyId: id,
      feedCursor,
      examples: EXAMPLES[size],
      folder,
    });
    const allowed = (await ask('/access/keys')).status;
    console.log(`${requests} requests, at least ${AT_LEAST[size]} were to be made; the key is good to the end: ${allowed === 200}`);
    return exitCode === 0 && requests >= AT_LEAST[size] && allowed === 200;
  } finally {
    await world.close();
    await parts.close();
  }
}

/** Something to read, and records that could not be applied. */
async function fill(world: World): Promise<void> {
  await world.db1.query(
    `INSERT INTO subscriptions (email, status) SELECT 'user' || n || '@example.com', 'active' FROM generate_series(1, 30) n`,
  );
  const producer = world.kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: DEAD_LETTERS }, (_, n) => ({ key: `bad${n}@example.com`, value: 'not JSON' }));
  await producer.send({ topic: world.topic, messages });
  await producer.disconnect();
  await eventually(async () => (await world.db2.query('SELECT FROM dead_letters')).rowCount === DEAD_LETTERS);
}

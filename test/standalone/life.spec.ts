import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { waitFor } from '../../apps/standalone/src/child-process.js';
import { removeFolder, freePorts, nothingRuns, type Ports, processesOf, Program, reaperOf, unbuiltCheckout } from './program.js';
import { temporaryFolder } from '../harness/temporary-folder.js';

let folder: string;
let dataDir: string;
let ports: Ports;

beforeAll(async () => {
  folder = temporaryFolder('standalone-');
  dataDir = join(folder, 'data');
  ports = await freePorts();
});

afterAll(() => removeFolder(folder));

/** All tests use one data folder. Each ends the program in another way. */
async function start(): Promise<Program> {
  const program = new Program(dataDir, ports);
  await program.says('Ctrl-C stops it all');
  return program;
}

function pidOf(file: string): number {
  return Number(readFileSync(join(dataDir, file), 'utf8').split(' ')[0]);
}

async function emailsInDb2(): Promise<string[]> {
  const client = new pg.Client(`postgres://postgres:postgres@127.0.0.1:${ports.DB2_PORT}/db2`);
  await client.connect();
  const { rows } = await client.query<{ email: string }>('SELECT email FROM subscriptions').finally(() => client.end());
  return rows.map(({ email }) => email);
}

test('npm start builds and starts everything, logs no error, replicates a change to DB2, and ends after a SIGTERM to npm', async () => {
  const program = Program.npmStart(dataDir, { ...ports, LOG_LEVEL: 'error' }, unbuiltCheckout(join(folder, 'checkout')));
  await program.says('Ctrl-C stops it all');
  const response = await fetch(`http://127.0.0.1:${ports.PORT}/subscriptions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ada@example.com', status: 'active' }),
  });
  expect(response.status).toBe(201);
  await waitFor(async () => ((await emailsInDb2()).includes('ada@example.com') ? true : undefined), {
    what: 'The row in DB2',
    withinMs: 60_000,
  });
  expect(program.output).not.toContain('"level":"error"');

  const second = new Program(dataDir, await freePorts());
  expect(await second.exited).toBe(1);
  expect(second.output).toMatch(/^.*\/data is in use by process \d+.*STANDALONE_DATA_DIR.*\n$/);

  program.kill('SIGTERM');
  expect(await program.exited).toBe(0);
  expect(processesOf(dataDir)).toEqual([]);
});

test('finds its data again, and its embedded servers end with it when it is killed', async () => {
  const program = await start();
  expect(await emailsInDb2()).toEqual(['ada@example.com']);
  expect(processesOf(dataDir).length).toBeGreaterThanOrEqual(6);

  program.kill('SIGKILL');
  await program.exited;
  await nothingRuns(dataDir);
});

test('starts although servers of a killed run are left over; the crash of an embedded server ends everything', async () => {
  const killed = await start();
  const parts = ['db1.pid', 'db2.pid', 'kafka/kafka.pid'].map(pidOf);
  for (const pid of parts) process.kill(reaperOf(pid).pid, 'SIGKILL');
  killed.kill('SIGKILL');
  await killed.exited;
  expect(processesOf(dataDir).map(({ pid }) => pid)).toEqual(expect.arrayContaining(parts));

  const program = await start();
  expect(await emailsInDb2()).toEqual(['ada@example.com']);
  process.kill(pidOf('db2.pid'), 'SIGKILL');
  expect(await program.exited).toBe(1);
  expect(program.output).toMatch(/^DB2 ended by SIGKILL, so everything stops\. Its log is .*db2\.log; "npm start" starts it all again\.$/m);
  await nothingRuns(dataDir);
});

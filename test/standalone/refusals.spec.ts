import { existsSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { type EmbeddedPostgres, startPostgres } from '../../apps/standalone/src/postgres.js';
import { sharedParts } from '../harness/addresses.js';
import { removeFolder, commands, freePorts, freshCheckout, nothingRuns, processesOf, Program } from './program.js';
import { temporaryFolder } from '../harness/temporary-folder.js';

const ALTERNATIVES = 'or run "docker compose -f docker/compose.yaml up", or set KAFKA_SERVER to a running Kafka';

let folder: string;
let checkout: string;
let database: EmbeddedPostgres;
let listener: Server | undefined;
let count = 0;

beforeAll(async () => {
  folder = temporaryFolder('standalone-');
  checkout = freshCheckout(join(folder, 'checkout'));
  database = await startPostgres({ name: 'DB1', dataDir: join(folder, 'yours'), port: 0, database: 'db1', flags: ['-c', 'fsync=off'] });
});

afterEach(async () => {
  await new Promise((resolve) => (listener ? listener.close(resolve) : resolve(undefined)));
  listener = undefined;
});

afterAll(async () => {
  await database.stop();
  removeFolder(folder);
});

/** Databases that already run elsewhere, so that the start depends only on the tested part. */
function yourDatabases(names: readonly string[] = ['DB1', 'DB2']): Record<string, string> {
  const port = String(database.port);
  const one = { HOST: '127.0.0.1', PORT: port, USER: 'postgres', PASSWORD: 'postgres', DATABASE: 'db1' };
  return Object.fromEntries(names.flatMap((name) => Object.entries(one).map(([key, value]) => [`${name}_${key}`, value])));
}

function newDataDir(): string {
  return join(folder, `data-${++count}`);
}

/** Returns what the program printed before it gave up, without the lines about servers that are up. */
async function refusal(environment: Readonly<Record<string, string>>, dataDir = newDataDir()): Promise<string> {
  const program = new Program(dataDir, { ...(await freePorts()), ...environment }, checkout);
  expect(await program.exited).toBe(1);
  expect(processesOf(dataDir)).toEqual([]);
  return program.output.replaceAll(/^(\w+ is up on .*|Fetching Apache Kafka.*)\n/gm, '');
}

async function listen(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  listener = server;
  return String((server.address() as { port: number }).port);
}

test('a start without Java is refused', async () => {
  const PATH = commands(join(folder, 'no-java'), {});
  expect(await refusal({ ...yourDatabases(), PATH })).toBe(
    `Kafka needs Java 17 or newer, and there is none in PATH: install it, ${ALTERNATIVES}.\n`,
  );
  expect(await refusal({ ...yourDatabases(), PATH, JAVA_HOME: '/nowhere' })).toContain('and JAVA_HOME (/nowhere) has none: install it');
});

test.each(['1.8.0_402', '11.0.22', '16-ea'])('Java %s is refused as too old', async (version) => {
  const PATH = commands(join(folder, `java-${version}`), { java: `echo 'openjdk version "${version}" 2021-01-01' >&2` });
  expect(await refusal({ ...yourDatabases(), PATH })).toBe(
    `Kafka needs Java 17 or newer, but java is ${version}: install a newer one (or point JAVA_HOME at it), ${ALTERNATIVES}.\n`,
  );
});

test('a start without Maven, or with a failing Maven, is refused', async () => {
  const java = `echo 'openjdk version "21.0.1"' >&2`;
  expect(await refusal({ ...yourDatabases(), PATH: commands(join(folder, 'no-maven'), { java }) })).toBe(
    `Maven is needed once, to fetch Kafka, and there is no working "mvn" in PATH: install it, ${ALTERNATIVES}.\n`,
  );
  const mvn = 'for last; do :; done; /bin/mkdir -p "${last#*=}"; echo "[ERROR] Unknown host central"; echo "[ERROR] Re-run Maven"; exit 1';
  expect(await refusal({ ...yourDatabases(), PATH: commands(join(folder, 'bad-maven'), { java, mvn }) })).toMatch(
    /^Maven could not fetch Kafka .*Maven reported: Unknown host central\n$/,
  );
  expect(readdirSync(join(checkout, 'node_modules/.cache/standalone-kafka'))).toEqual([]);
});

test('SIGTERM in the middle of the start leaves nothing running', async () => {
  const dataDir = newDataDir();
  const PATH = commands(join(folder, 'slow-maven'), { java: `echo 'openjdk version "21.0.1"' >&2`, mvn: `exec sleep 1000 # "$@"` });
  const environment = { ...(await freePorts()), PATH };
  const program = new Program(dataDir, environment, checkout);
  await program.says('Fetching Apache Kafka');
  await program.says('DB1 is up');
  await program.says('DB2 is up');
  expect(processesOf(dataDir).length).toBeGreaterThanOrEqual(4);
  program.kill('SIGTERM');
  expect(await program.exited).toBe(0);
  expect(processesOf(dataDir)).toEqual([]);
  expect(processesOf(folder).filter(({ args }) => args.startsWith('sleep 1000'))).toEqual([]);
  expect(existsSync(join(dataDir, 'standalone.pid'))).toBe(false);
});

test('SIGINT while the databases are being created leaves no files', async () => {
  const dataDir = newDataDir();
  const program = new Program(dataDir, { ...(await freePorts()), KAFKA_SERVER: '127.0.0.1:1' }, checkout);
  while (!existsSync(join(dataDir, 'db1.new'))) await new Promise((resolve) => setImmediate(resolve));
  program.kill('SIGINT');
  expect(await program.exited).toBe(0);
  await nothingRuns(dataDir);
  expect(readdirSync(dataDir)).toEqual([]);
});

test('a port that is in use is refused by name, whichever it is', async () => {
  const port = await listen();
  const tail = (variable: string): string =>
    `needs port ${port}, but it is in use: stop the program that listens there, or set ${variable} to another port.\n`;
  expect(await refusal({ PORT: port })).toBe(`The API ${tail('PORT')}`);
  expect(await refusal({ DB2_PORT: port })).toBe(`DB2 ${tail('DB2_PORT')}`);
  expect(await refusal({ ...yourDatabases(), STANDALONE_KAFKA_PORT: port })).toBe(`Kafka ${tail('STANDALONE_KAFKA_PORT')}`);
});

test('a wrong password is refused, for existing data and for a database that runs elsewhere', async () => {
  const dataDir = newDataDir();
  const KAFKA_SERVER = sharedParts().kafka;
  const options = { name: 'DB1', dataDir: join(dataDir, 'db1'), port: 0, database: 'db1', flags: ['-c', 'fsync=off'] };
  await (await startPostgres(options)).stop();
  expect(await refusal({ ...yourDatabases(['DB2']), DB1_PASSWORD: 'other', KAFKA_SERVER }, dataDir)).toMatch(
    /^DB1: the data in .*db1 were created with another user .*DB1_USER and DB1_PASSWORD.*delete that folder.*\n$/,
  );
  expect(await refusal({ ...yourDatabases(), DB2_PASSWORD: 'other', KAFKA_SERVER })).toBe(
    `DB2 is set to 127.0.0.1:${database.port}, but it refuses the password of user "postgres": correct DB2_USER and DB2_PASSWORD.\n`,
  );
});

test('databases and Kafka that should run elsewhere but do not are refused', async () => {
  const port = String(
    await new Promise<number>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address() as { port: number };
        server.close(() => resolve(free));
      });
    }),
  );
  const nothing = { KAFKA_SERVER: `127.0.0.1:${port}` };
  expect(await refusal({ ...yourDatabases(), ...nothing, DB1_PORT: port })).toMatch(
    /^DB1 is set to .* it cannot be reached .*ECONNREFUSED.*unset DB1_HOST .*\n$/,
  );
  expect(await refusal({ ...yourDatabases(), ...nothing })).toMatch(
    /^KAFKA_SERVER is set to .* no Kafka answers there .*unset KAFKA_SERVER .*\n$/,
  );
  expect(await refusal({ ...yourDatabases(), KAFKA_SERVER: sharedParts().kafka, KAFKA_SECURITY_PROTOCOL: 'SSL' })).toMatch(
    /^KAFKA_SERVER is set to .*, but it cannot be used: .* ended the TLS handshake: .* set KAFKA_SECURITY_PROTOCOL to PLAINTEXT, .*\n$/,
  );
  expect(await refusal({ ...yourDatabases(), DB1_DATABASE: 'none', KAFKA_SERVER: '127.0.0.1:1' })).toContain('CREATE DATABASE "none"');
});

test('all configuration errors are reported together, before anything is started', async () => {
  const dataDir = newDataDir();
  const output = await refusal({ PORT: 'x', DB1_PORT: '0', STANDALONE_KAFKA_PORT: '-1', DB2_HOST: 'db.example.com' }, dataDir);
  for (const name of ['PORT', 'DB1_PORT', 'STANDALONE_KAFKA_PORT', 'DB2_USER', 'DB2_PASSWORD', 'DB2_DATABASE'])
    expect(output).toContain(`  - ${name} `);
  expect(existsSync(dataDir)).toBe(false);
  expect(await refusal({ KAFKA_SECURITY_PROTOCOL: 'SSL' }, dataDir)).toContain(
    '  - KAFKA_SECURITY_PROTOCOL is SSL, but the embedded Kafka uses neither TLS nor SASL. Set KAFKA_SERVER to yours, or remove',
  );
});

test('no port is picked twice, because a server may start again with the port that it had', async () => {
  const ports = await Promise.all(Array.from({ length: 300 }, () => pickFreePort()));
  expect(new Set(ports).size).toBe(300);
});

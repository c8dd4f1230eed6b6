import { once } from 'node:events';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type KafkaSettings, readSettings, type Settings } from '#config';
import { BrokerCheck, kafkaClientOptions } from '#kafka';
import { sharedParts } from '../harness/addresses.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { loggedText } from '../harness/logged-text.js';
import { PASSWORD, SecureKafka } from '../harness/secure-kafka.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { World, type WorldOptions } from '../harness/world.js';

type Variables = Readonly<Record<string, string>>;

const folder = temporaryFolder('subscription-sync-');
let kafka: SecureKafka;
let debug: { mockRestore: () => void };

beforeAll(async () => {
  // Nest's own logger prints what kafkajs says of each attempt.
  debug = jest.spyOn(Logger.prototype, 'debug').mockReturnValue(undefined);
  kafka = await SecureKafka.start();
}, 60_000);
afterAll(async () => {
  debug.mockRestore();
  await kafka.stop();
  rmSync(folder, { recursive: true });
});

const tls = (): Variables => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SERVER: kafka.listener('TLS'), KAFKA_SSL_CA: kafka.caFile });
const certificate = (): Variables => ({ KAFKA_SSL_CERT: kafka.carol.certificate, KAFKA_SSL_KEY: kafka.carol.key });
const login = (mechanism = 'PLAIN', user = 'alice'): Variables => ({
  KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT',
  KAFKA_SERVER: kafka.listener('LOGIN'),
  KAFKA_SASL_MECHANISM: mechanism,
  KAFKA_SASL_USERNAME: user,
  KAFKA_SASL_PASSWORD: PASSWORD,
});
const tlsLogin = (mechanism?: string, user?: string): Variables => ({
  ...login(mechanism, user),
  KAFKA_SECURITY_PROTOCOL: 'SASL_SSL',
  KAFKA_SERVER: kafka.listener('TLSLOGIN'),
  KAFKA_SSL_CA: kafka.caFile,
});
const token = (): Variables => ({
  KAFKA_SECURITY_PROTOCOL: 'SASL_SSL',
  KAFKA_SERVER: kafka.listener('TLSLOGIN'),
  KAFKA_SSL_CA: kafka.caFile,
  KAFKA_SASL_MECHANISM: 'OAUTHBEARER',
  KAFKA_SASL_OAUTH_TOKEN_URL: kafka.tokenUrl,
  KAFKA_SASL_OAUTH_CLIENT_ID: 'erin',
  KAFKA_SASL_OAUTH_CLIENT_SECRET: PASSWORD,
});

function settingsOf(variables: Variables): KafkaSettings {
  return readSettings({ DB2_HOST: 'x', DB2_USER: 'x', DB2_PASSWORD: 'x', DB2_DATABASE: 'x', ROLES: 'replica', ...variables }).kafka!;
}

/** Returns what /health/ready would show. */
async function failureWith(settings: KafkaSettings): Promise<string | undefined> {
  const check = new BrokerCheck({ kafka: settings } as Settings, TEST_TIMINGS);
  try {
    await check.check();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await check.onApplicationShutdown();
  }
}

test.each<[string, () => Variables]>([
  ['TLS', tls],
  ['TLS and a client certificate', () => ({ ...tls(), ...certificate(), KAFKA_SERVER: kafka.listener('MTLS') })],
  ['PLAIN without TLS', () => login()],
  ['PLAIN', () => tlsLogin()],
  ['SCRAM-SHA-256', () => tlsLogin('SCRAM-SHA-256')],
  ['SCRAM-SHA-512', () => tlsLogin('SCRAM-SHA-512')],
  ['OAUTHBEARER', token],
])('a client connects by %s', async (_, variables) => {
  expect(await failureWith(settingsOf(variables()))).toBeUndefined();
});

const WITHOUT_LOGIN = 'closed the connection when the service sent a request without a login: if its listener demands SASL, set';

test.each<[string, () => Variables, string | RegExp]>([
  [
    'a wrong CA',
    () => ({ ...tls(), KAFKA_SSL_CA: kafka.otherCaFile }),
    'is not from a CA that KAFKA_SSL_CA has (unable to verify the first certificate): set KAFKA_SSL_CA',
  ],
  [
    'no CA',
    () => ({ ...tls(), KAFKA_SSL_CA: '' }),
    'is not from a CA that Node.js knows (unable to verify the first certificate): set KAFKA_SSL_CA',
  ],
  [
    'a wrong host name',
    () => ({ ...tls(), KAFKA_SERVER: kafka.listener('TLS', '127.0.0.1') }),
    'is not for this host, but for DNS:localhost: use a name of the certificate',
  ],
  ['an expired certificate', () => ({ ...tls(), KAFKA_SERVER: kafka.listener('EXPIRED') }), 'has expired: renew it on the broker'],
  [
    'no client certificate',
    () => ({ ...tls(), KAFKA_SERVER: kafka.listener('MTLS') }),
    /demands a client certificate \(ERR_SSL_(SSLV3|SSL\/TLS)_ALERT_BAD_CERTIFICATE\): set KAFKA_SSL_CERT and KAFKA_SSL_KEY/,
  ],
  [
    'TLS to a listener without it',
    () => ({ ...tls(), KAFKA_SERVER: kafka.server }),
    'ended the TLS handshake: if its listener does not use TLS, set KAFKA_SECURITY_PROTOCOL to PLAINTEXT',
  ],
  [
    'no TLS to a listener with it',
    () => ({ KAFKA_SERVER: kafka.listener('TLS') }),
    'uses TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL',
  ],
  [
    'a login without TLS to a listener with it',
    () => ({ ...login(), KAFKA_SERVER: kafka.listener('TLSLOGIN') }),
    'uses TLS: set KAFKA_SECURITY_PROTOCOL to SASL_SSL',
  ],
  ['no login', () => ({ KAFKA_SERVER: kafka.listener('LOGIN') }), `${WITHOUT_LOGIN} KAFKA_SECURITY_PROTOCOL to SASL_PLAINTEXT`],
  [
    'TLS without a login',
    () => ({ ...tls(), KAFKA_SERVER: kafka.listener('TLSLOGIN') }),
    `${WITHOUT_LOGIN} KAFKA_SECURITY_PROTOCOL to SASL_SSL`,
  ],
  [
    'a login at a listener that has none',
    () => ({ ...login(), KAFKA_SERVER: kafka.server }),
    "Kafka's listener takes no SASL login: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT",
  ],
  [
    'a mechanism that is not offered',
    () => login('SCRAM-SHA-512'),
    "Kafka's listener does not offer the mechanism SCRAM-SHA-512: set KAFKA_SASL_MECHANISM",
  ],
  [
    'a wrong password by PLAIN',
    () => ({ ...tlsLogin(), KAFKA_SASL_PASSWORD: 'wrong' }),
    'Kafka refuses user "alice" or its password (PLAIN: Authentication failed: Invalid username or password): correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD',
  ],
  [
    'a wrong password by SCRAM',
    () => ({ ...tlsLogin('SCRAM-SHA-512'), KAFKA_SASL_PASSWORD: 'wrong' }),
    'Kafka refuses user "alice" or its password (SCRAM-SHA-512: ',
  ],
  [
    'a wrong secret at the token endpoint',
    () => ({ ...token(), KAFKA_SASL_OAUTH_CLIENT_SECRET: 'wrong' }),
    'gives client "erin" no token (HTTP 401, invalid_client): correct KAFKA_SASL_OAUTH_CLIENT_ID',
  ],
  [
    'a token endpoint that is not there',
    () => ({ ...token(), KAFKA_SASL_OAUTH_TOKEN_URL: 'http://localhost:2/' }),
    'no token from KAFKA_SASL_OAUTH_TOKEN_URL http://localhost:2/ (',
  ],
])('with %s, the error says what to correct', async (_, variables, error) => {
  const got = await failureWith(settingsOf(variables()));
  if (typeof error === 'string') expect(got).toContain(error);
  else expect(got).toMatch(error);
  expect(got).not.toMatch(new RegExp(`${PASSWORD}|wrong$|\n`));
});

test('a CA that was replaced in its file is used for the next connection', async () => {
  const file = join(folder, 'ca.pem');
  copyFileSync(kafka.otherCaFile, file);
  const settings = settingsOf({ ...tls(), KAFKA_SSL_CA: file });
  expect(await failureWith(settings)).toContain('is not from a CA that KAFKA_SSL_CA has');
  copyFileSync(kafka.caFile, file);
  expect(await failureWith(settings)).toBeUndefined();
  rmSync(file);
  expect(await failureWith(settings)).toContain(`KAFKA_SSL_CA: the file ${file} cannot be read: ENOENT`);
});

test('a TLS connection on which nothing comes back is closed', async () => {
  const { certificate: cert, key } = kafka.ca.issue(['localhost']);
  const server = createServer({ cert, key }, (socket) => socket.on('error', () => undefined).resume());
  await once(server.listen(0, 'localhost'), 'listening');
  const { port } = server.address() as AddressInfo;
  const { socketFactory } = kafkaClientOptions(settingsOf(tls()), 'test', { ...TEST_TIMINGS.kafka, unresponsiveTimeoutMs: 200 });
  const socket = socketFactory!({ host: 'localhost', port, ssl: {}, onConnect: () => void socket.write('request') });
  const [error] = (await once(socket, 'error')) as [Error];
  expect(error.message).toBe('no answer within 200 ms');
  server.close();
});

describe('with an authorizer', () => {
  let world: World;
  afterEach(() => world.close());

  /** A world whose topic the administrator has made. */
  async function create(options: WorldOptions): Promise<void> {
    world = await World.create({ ...options, parts: { ...sharedParts(), kafka: kafka.server } });
    await kafka.asAdmin((admin) => admin.createTopics({ topics: [{ topic: world.topic, numPartitions: 3 }] }));
  }

  const write = (email: string): Promise<unknown> =>
    world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [email]);

  /** Resolves when the check is down for that reason. */
  const expectDown = (check: string, reason: string): Promise<unknown> =>
    eventually(async () => {
      const report = (await readinessOf(world.url)).checks[check];
      if (String(report?.['error']).includes(reason)) return true;
      throw new Error(`${check} reports ${JSON.stringify(report)}`);
    }, 20_000);

  test('by SCRAM-SHA-512 and TLS, all roles need only Write and Read on the topic and Read on the group', async () => {
    await create({ env: tlsLogin('SCRAM-SHA-512') });
    const topic = { on: 'topic', name: world.topic } as const;
    await kafka.allow([
      { user: 'alice', operation: 'Write', ...topic },
      { user: 'alice', operation: 'Read', ...topic },
      { user: 'alice', operation: 'Read', on: 'group', name: world.name },
    ]);
    await world.start();
    await world.ready();
    await write('ada@example.com');
    await expectEqualDatabases(world);
  });

  test('by a client certificate, sync needs Write on the topic and Describe on the group; replica needs Read on both', async () => {
    await create({ servers: [['api', 'sync']], env: { ...tls(), ...certificate(), KAFKA_SERVER: kafka.listener('MTLS') } });
    const [topic, group] = [{ on: 'topic', name: world.topic } as const, { on: 'group', name: world.name } as const];
    await kafka.allow([
      { user: 'CN=carol', operation: 'Write', ...topic },
      { user: 'CN=carol', operation: 'Describe', ...group },
      { user: 'bob', operation: 'Read', ...topic },
      { user: 'bob', operation: 'Read', ...group },
    ]);
    await world.start();
    const replica = await world.startBeside({ servers: [['replica']], env: tlsLogin('PLAIN', 'bob'), parts: world.addresses });
    await world.ready();
    await write('ada@example.com');
    await expectEqualDatabases(world);
    await replica.stop();
  });

  test('each missing right is one line that names it, and the role goes on when it is granted', async () => {
    await create({ servers: [['api', 'sync', 'replica']], env: tlsLogin('PLAIN', 'bob') });
    const [topic, group] = [{ on: 'topic', name: world.topic } as const, { on: 'group', name: world.name } as const];
    const log = jest.spyOn(Logger.prototype, 'error');
    await world.start();
    await write('ada@example.com');
    await expectDown(
      'sync',
      `publishing waits for Kafka: Kafka denies user "bob" the operation Write on topic "${world.topic}": add an ACL`,
    );
    await expectDown(
      'replica',
      `it cannot read from Kafka: Kafka denies user "bob" the operation Read on topic "${world.topic}": add an ACL`,
    );
    const lines = log.mock.calls.map(([line]) => loggedText(line));
    log.mockRestore();
    for (const begin of ['Kafka did not accept a batch (changes: 1): ', 'The replica cannot read from Kafka: ']) {
      expect(lines).toContainEqual(expect.stringContaining(`${begin}Kafka denies user "bob" the operation`));
    }
    await kafka.allow([{ user: 'bob', operation: 'Describe', ...topic }]);
    await expectDown(
      'replica',
      `it cannot read from Kafka: Kafka denies user "bob" the operation Read on group "${world.name}": add an ACL`,
    );
    await kafka.allow([{ user: 'bob', operation: 'Read', ...group }]);
    await expectDown(
      'replica',
      `it cannot read from Kafka: Kafka denies user "bob" the operation Read on topic "${world.topic}": add an ACL`,
    );
    await expectDown(
      'sync',
      `publishing waits for Kafka: Kafka denies user "bob" the operation Write on topic "${world.topic}": add an ACL`,
    );
    await kafka.allow([
      { user: 'bob', operation: 'Write', ...topic },
      { user: 'bob', operation: 'Read', ...topic },
    ]);
    await world.ready();
    await expectEqualDatabases(world);
  });

  test('a password that is corrected in its file is taken without a restart', async () => {
    const file = join(folder, 'password');
    writeFileSync(file, 'wrong');
    const { KAFKA_SASL_PASSWORD: _, ...env } = tlsLogin('SCRAM-SHA-256');
    await create({ env: { ...env, KAFKA_SASL_PASSWORD_FILE: file } });
    await kafka.allow([
      { user: 'alice', operation: 'Write', on: 'topic', name: world.topic },
      { user: 'alice', operation: 'Read', on: 'topic', name: world.topic },
      { user: 'alice', operation: 'Read', on: 'group', name: world.name },
    ]);
    await world.start();
    for (const check of ['kafka', 'replica']) await expectDown(check, 'Kafka refuses user "alice" or its password (SCRAM-SHA-256: ');
    writeFileSync(file, PASSWORD);
    await world.ready();
    await write('ada@example.com');
    await expectEqualDatabases(world);
  });

  test('a topic that is missing and that may not be created is one line', async () => {
    await create({ servers: [['replica']], env: { ...login('PLAIN', 'bob'), KAFKA_TOPIC: 'missing' } });
    await kafka.allow([{ user: 'bob', operation: 'Read', on: 'topic', name: 'missing' }]);
    await world.start();
    await expectDown(
      'replica',
      'topic "missing" does not exist, and Kafka denies user "bob" the operation Create on it: add an ACL that allows it (docs/connecting.md), or create the topic',
    );
  });
});

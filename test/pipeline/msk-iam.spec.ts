import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type KafkaSettings, type KafkaTimings, readSettings, type Settings } from '#config';
import { BrokerCheck } from '#kafka';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { CertificateAuthority } from '../harness/certificates.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually, readinessOf } from '../harness/eventually.js';
import { FakeAws, inEnvironment, LASTING, restoreAwsVariables, ROTATED, setAwsVariables, TEMPORARY } from '../harness/fake-aws.js';
import { loggedText } from '../harness/logged-text.js';
import { MskListener } from '../harness/msk-listener.js';
import { keyIn, signatureOf, urlIn } from '../harness/msk-login.js';
import { Parts } from '../harness/parts.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { TEST_TIMINGS } from '../harness/timings.js';
import { World } from '../harness/world.js';

type Variables = Readonly<Record<string, string>>;

const REGION = 'eu-west-1';
const ROLE = 'arn:aws:iam::123456789012:role/sync';
const SECRETS = new Map([LASTING, ROTATED, TEMPORARY].map(({ id, secret }) => [id, secret]));

const folder = temporaryFolder('subscription-sync-');
const file = (name: string): string => join(folder, name);
const [caFile, credentialsFile, identityFile] = [file('ca.pem'), file('credentials'), file('identity')];
let parts: Parts;
let listener: MskListener;
let aws: FakeAws;
let debug: { mockRestore: () => void };

beforeAll(async () => {
  // Nest's own logger prints what kafkajs says of each attempt.
  debug = jest.spyOn(Logger.prototype, 'debug').mockReturnValue(undefined);
  const port = await pickFreePort();
  const advertisedPort = await pickFreePort();
  const ca = new CertificateAuthority('ca');
  writeFileSync(caFile, ca.certificate);
  writeFileSync(identityFile, 'an identity token of the cluster');
  parts = await Parts.start(['kafka'], { port, advertisedPort });
  listener = await MskListener.start(ca.issue(['127.0.0.1']), advertisedPort, port);
  aws = await FakeAws.start();
}, 60_000);
afterAll(async () => {
  debug.mockRestore();
  listener.close();
  aws.close();
  await parts.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  listener.refuse = problemOf;
  listener.sessionLifetimeMs = 0;
  listener.logins.length = 0;
  listener.connections = 0;
  aws.requests.length = 0;
  aws.answer = () => TEMPORARY;
  useCredentials({});
});
afterEach(restoreAwsVariables);

function useCredentials(variables: Variables): void {
  rmSync(credentialsFile, { force: true });
  setAwsVariables({ AWS_SHARED_CREDENTIALS_FILE: credentialsFile, AWS_CONFIG_FILE: file('no-config'), ...variables });
}

function writeProfile(name: string, { id, secret }: { id: string; secret: string }): void {
  writeFileSync(credentialsFile, `[${name}]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`);
}

const variables = (more: Variables = {}): Variables => ({
  KAFKA_SERVER: listener.address,
  KAFKA_SECURITY_PROTOCOL: 'SASL_SSL',
  KAFKA_SSL_CA: caFile,
  KAFKA_SASL_MECHANISM: 'AWS_MSK_IAM',
  KAFKA_SASL_AWS_REGION: REGION,
  ...more,
});

function settingsOf(more: Variables = {}): KafkaSettings {
  return readSettings({ DB2_URL: 'postgres://x:x@x/x', ROLES: 'replica', ...variables(more) }).kafka!;
}

/** Lends a client of Kafka that returns what /health/ready would show. */
async function withCheck<T>(
  settings: KafkaSettings,
  work: (failure: () => Promise<string | undefined>) => Promise<T>,
  timings: Partial<KafkaTimings> = {},
): Promise<T> {
  const kafka = { ...TEST_TIMINGS.kafka, quickRequestTimeoutMs: 20_000, ...timings };
  const check = new BrokerCheck({ kafka: settings } as Settings, { ...TEST_TIMINGS, kafka });
  const failure = (): Promise<string | undefined> =>
    check.check().then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
  try {
    return await work(failure);
  } finally {
    await check.onApplicationShutdown();
  }
}

const failureWith = (settings: KafkaSettings, timings?: Partial<KafkaTimings>): Promise<string | undefined> =>
  withCheck(settings, (failure) => failure(), timings);

/** Returns why Amazon MSK would refuse a login. */
function problemOf(login: string): string | undefined {
  const url = urlIn(login);
  const secret = SECRETS.get(keyIn(login));
  if (secret === undefined) return 'Access denied';
  return url.searchParams.get('X-Amz-Signature') === signatureOf(url, secret) ? undefined : 'Invalid signature';
}

test.each([
  ['lasting', LASTING],
  ['temporary', TEMPORARY],
])('the token has the published format, with %s credentials', async (_, credentials) => {
  useCredentials(inEnvironment(credentials));
  const before = Date.now();
  expect(await failureWith(settingsOf())).toBeUndefined();
  const url = urlIn(listener.logins[0]!);
  expect(url.origin + url.pathname).toBe(`https://kafka.${REGION}.amazonaws.com/`);
  const date = url.searchParams.get('X-Amz-Date')!;
  expect(Object.fromEntries(url.searchParams)).toEqual({
    Action: 'kafka-cluster:Connect',
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${credentials.id}/${date.slice(0, 8)}/${REGION}/kafka-cluster/aws4_request`,
    'X-Amz-Date': expect.stringMatching(/^\d{8}T\d{6}Z$/),
    'X-Amz-Expires': '900',
    ...('session' in credentials && { 'X-Amz-Security-Token': credentials.session }),
    'X-Amz-SignedHeaders': 'host',
    'X-Amz-Signature': signatureOf(url, credentials.secret),
    'User-Agent': expect.stringMatching(/^aws-msk-iam-sasl-signer-js\/\d/),
  });
  const age = before - Date.parse(date.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:'));
  expect(Math.abs(age)).toBeLessThan(20_000);
});

test.each<[string, () => Variables, Variables, string[]]>([
  ['the environment', () => inEnvironment(TEMPORARY), {}, []],
  [
    'the web identity of a pod',
    () => ({ AWS_WEB_IDENTITY_TOKEN_FILE: identityFile, AWS_ROLE_ARN: ROLE, AWS_ENDPOINT_URL_STS: aws.url }),
    {},
    [`AssumeRoleWithWebIdentity ${ROLE}`],
  ],
  ['the endpoint of a container', () => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/task` }), {}, ['GET /task']],
  [
    'the profile of an instance',
    () => ({ AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.url }),
    {},
    ['PUT /latest/api/token', 'GET /latest/meta-data/iam/security-credentials/', 'GET /latest/meta-data/iam/security-credentials/sync'],
  ],
  [
    'a role that is assumed',
    () => ({ ...inEnvironment(LASTING), AWS_ENDPOINT_URL_STS: aws.url }),
    { KAFKA_SASL_AWS_ROLE_ARN: ROLE },
    [`AssumeRole ${ROLE}`],
  ],
])('credentials are found in %s', async (_, own, settings, requests) => {
  useCredentials(own());
  expect(await failureWith(settingsOf(settings))).toBeUndefined();
  expect(listener.logins.map(keyIn)).toEqual([TEMPORARY.id]);
  expect(urlIn(listener.logins[0]!).searchParams.get('X-Amz-Security-Token')).toBe(TEMPORARY.session);
  expect(aws.requests).toEqual(requests);
});

test('the credentials of a profile are preferred to those of the environment', async () => {
  useCredentials(inEnvironment(LASTING));
  writeProfile('kafka', ROTATED);
  expect(await failureWith(settingsOf({ KAFKA_SASL_AWS_PROFILE: 'kafka' }))).toBeUndefined();
  expect(listener.logins.map(keyIn)).toEqual([ROTATED.id]);
});

const WRONG = { id: 'AKIAWRONG', secret: 'wrong-secret' };

test.each<[string, () => Variables, Variables, string]>([
  [
    'no credentials',
    () => ({}),
    {},
    'there are no AWS credentials for the login to Kafka (Could not load credentials from any providers): give the pod, the task or the instance an IAM role, or set AWS_ACCESS_KEY_ID',
  ],
  [
    'a profile that is not there',
    () => inEnvironment(LASTING),
    { KAFKA_SASL_AWS_PROFILE: 'missing' },
    'there are no AWS credentials for the login to Kafka (Could not resolve credentials using profile: [missing] in configuration/credentials file(s).): correct KAFKA_SASL_AWS_PROFILE',
  ],
  [
    'credentials that have expired',
    () => ({ ...inEnvironment(TEMPORARY), AWS_CREDENTIAL_EXPIRATION: '2026-01-01T00:00:00Z' }),
    {},
    'the AWS credentials for the login to Kafka expired at 2026-01-01T00:00:00.000Z: renew them',
  ],
  [
    'an identity that has expired',
    () => ({ AWS_WEB_IDENTITY_TOKEN_FILE: identityFile, AWS_ROLE_ARN: ROLE, AWS_ENDPOINT_URL_STS: aws.url }),
    {},
    'the AWS credentials for the login to Kafka have expired (ExpiredTokenException for you): renew them',
  ],
  [
    'a role that may not be assumed',
    () => ({ ...inEnvironment(LASTING), AWS_ENDPOINT_URL_STS: aws.url }),
    { KAFKA_SASL_AWS_ROLE_ARN: ROLE },
    `AWS gives no credentials of role ${ROLE} for the login to Kafka (AccessDenied for you): check KAFKA_SASL_AWS_ROLE_ARN`,
  ],
  [
    'credentials that Kafka refuses',
    () => inEnvironment(WRONG),
    {},
    'Kafka refuses the AWS credentials (Access denied): allow kafka-cluster:Connect in their IAM policy (docs/connecting.md), and check that the cluster is in region eu-west-1',
  ],
])('with %s, the error says what to correct', async (_, own, settings, error) => {
  useCredentials(own());
  aws.answer = () => ('KAFKA_SASL_AWS_ROLE_ARN' in settings ? 'AccessDenied' : 'ExpiredTokenException');
  const got = await failureWith(settingsOf(settings));
  expect(got).toContain(error);
  expect(got).not.toMatch(/wJalr|wrong-secret|TOKEN\b|[A-Za-z0-9_-]{100}|\n/);
});

test('an endpoint of AWS that does not answer is given up', async () => {
  const silent = createServer(() => undefined);
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  useCredentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/` });
  const error = await failureWith(settingsOf(), { requestTimeoutMs: 200 });
  silent.close();
  silent.closeAllConnections();
  expect(error).toContain('there are no AWS credentials for the login to Kafka (no answer within 200 ms): give the pod');
});

test('a listener that does not take tokens is named', async () => {
  useCredentials(inEnvironment(LASTING));
  listener.mechanism = 'SCRAM-SHA-512';
  const error = await failureWith(settingsOf());
  listener.mechanism = 'OAUTHBEARER';
  expect(error).toContain(
    "Kafka's listener does not offer the mechanism OAUTHBEARER, which AWS_MSK_IAM uses: use the port of its IAM listener (9098",
  );
});

test('connections share a token', async () => {
  useCredentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/task` });
  const settings = settingsOf();
  for (let connection = 1; connection <= 2; connection += 1) expect(await failureWith(settings)).toBeUndefined();
  expect(listener.logins).toHaveLength(2);
  expect(aws.requests).toEqual(['GET /task']);
});

test('credentials that were replaced in the shared file are taken after a refusal', async () => {
  useCredentials({});
  writeProfile('default', LASTING);
  const settings = settingsOf();
  expect(await failureWith(settings)).toBeUndefined();
  writeProfile('default', ROTATED);
  listener.refuse = (login) => (keyIn(login) === LASTING.id ? 'Access denied' : problemOf(login));
  await eventually(async () => (await failureWith(settings)) === undefined, 10_000);
  expect(keyIn(listener.logins.at(-1)!)).toBe(ROTATED.id);
});

test('a token is replaced before its credentials expire', async () => {
  useCredentials({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/task` });
  const settings = settingsOf();
  aws.validMs = 16_000;
  expect(await failureWith(settings)).toBeUndefined();
  aws.validMs = 3_600_000;
  await eventually(async () => {
    expect(await failureWith(settings)).toBeUndefined();
    return new Set(listener.logins).size > 1;
  }, 10_000);
  const [first, ...others] = listener.logins.map((login) => urlIn(login).searchParams.get('X-Amz-Expires'));
  expect([first, others.at(-1)]).toEqual(['900', '900']);
});

test('a session that the broker ends is renewed before its end, on the same connection', async () => {
  useCredentials(inEnvironment(LASTING));
  listener.sessionLifetimeMs = 11_000;
  await withCheck(settingsOf(), async (failure) => {
    await eventually(async () => {
      expect(await failure()).toBeUndefined();
      return listener.logins.length > 2;
    }, 15_000);
    expect(listener.connections).toBe(1);
  });
  expect(listener.expired).toBe(0);
});

describe('the service', () => {
  let world: World;
  afterEach(() => world.close());

  test('replicates, and goes on when credentials that expired are renewed; no line of its log has a secret', async () => {
    useCredentials({});
    writeProfile('default', LASTING);
    const lines: string[] = [];
    const note = (...parameters: unknown[]): void => void lines.push(...parameters.map(loggedText));
    const spies = (['log', 'warn', 'error', 'debug'] as const).map((name) => jest.spyOn(Logger.prototype, name).mockImplementation(note));
    world = await World.create({ env: variables(), parts: parts.addresses });
    await world.start();
    await world.ready();
    const write = (email: string): Promise<unknown> =>
      world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ($1, 'active')`, [email]);
    await write('ada@example.com');
    await expectEqualDatabases(world);
    listener.refuse = () => 'Access denied';
    listener.disconnect();
    await write('grace@example.com');
    await eventually(async () => {
      const { error } = (await readinessOf(world.url)).checks['sync'] ?? {};
      return error?.includes('publishing waits for Kafka: Kafka refuses the AWS credentials (Access denied): allow') ?? false;
    }, 20_000);
    writeProfile('default', ROTATED);
    listener.refuse = (login) => (keyIn(login) === ROTATED.id ? problemOf(login) : 'Access denied');
    await expectEqualDatabases(world);
    for (const spy of spies) spy.mockRestore();
    expect(lines.join('\n')).toContain('Kafka refuses the AWS credentials');
    expect(lines.join('\n')).not.toMatch(/wJalr|je7Mt|auth=Bearer|X-Amz-Signature|aHR0cHM6/);
  });
});

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CertificateAuthority, writeCertificate } from '../../../test/harness/certificates.js';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { type Environment, Reader } from './environment.js';
import { readKafkaSecurity } from './read-kafka-security.js';
import type { KafkaSecurity } from './settings.js';

const folder = temporaryFolder('subscription-sync-');
const file = (name: string): string => join(folder, name);
beforeAll(() => {
  const ca = new CertificateAuthority('ca');
  for (const name of ['one', 'two']) writeCertificate(folder, name, ca.issue([name]));
  writeFileSync(file('text'), 'text');
  writeFileSync(file('broken'), '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

function read(environment: Environment): { security: KafkaSecurity; problems: readonly string[] } {
  const reader = new Reader(environment);
  return { security: readKafkaSecurity(reader), problems: reader.problems };
}

const LOGIN = { KAFKA_SASL_USERNAME: 'ada', KAFKA_SASL_PASSWORD: 'secret' };
const OAUTH = {
  KAFKA_SECURITY_PROTOCOL: 'SASL_SSL',
  KAFKA_SASL_MECHANISM: 'OAUTHBEARER',
  KAFKA_SASL_OAUTH_TOKEN_URL: 'https://login.example.com/token',
  KAFKA_SASL_OAUTH_CLIENT_ID: 'sync',
  KAFKA_SASL_OAUTH_CLIENT_SECRET: 'secret',
};

const MSK = { KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SASL_MECHANISM: 'AWS_MSK_IAM' };
const ROLE = 'arn:aws:iam::123456789012:role/team/sync';

test('without settings, Kafka is used without TLS and without a login', () => {
  expect(read({})).toEqual({ security: { protocol: 'PLAINTEXT', tls: undefined, sasl: undefined }, problems: [] });
});

test('each protocol and mechanism is read', () => {
  const [pem, key] = [file('one.crt'), file('one.key')];
  const tls = read({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA: pem, KAFKA_SSL_CERT: pem, KAFKA_SSL_KEY: key });
  expect(tls.problems).toEqual([]);
  expect(tls.security.tls!.ca!()).toContain('BEGIN CERTIFICATE');
  expect(tls.security.tls!.certificate!.key()).toContain('BEGIN PRIVATE KEY');
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']) {
    expect(read({ KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT', KAFKA_SASL_MECHANISM: mechanism, ...LOGIN })).toEqual({
      security: { protocol: 'SASL_PLAINTEXT', tls: undefined, sasl: { mechanism, username: 'ada', password: 'secret' } },
      problems: [],
    });
  }
  const { tokenUrl, ...rest } = { tokenUrl: OAUTH.KAFKA_SASL_OAUTH_TOKEN_URL, clientId: 'sync', clientSecret: 'secret', scope: 'kafka' };
  expect(read({ ...OAUTH, KAFKA_SASL_OAUTH_SCOPE: 'kafka' })).toEqual({
    security: {
      protocol: 'SASL_SSL',
      tls: { ca: undefined, certificate: undefined },
      sasl: { mechanism: 'OAUTHBEARER', tokenUrl, ...rest },
    },
    problems: [],
  });
});

test.each<[string, Environment, object]>([
  ['its own variable', { KAFKA_SASL_AWS_REGION: 'eusc-de-east-1', AWS_REGION: 'eu-west-1' }, { region: 'eusc-de-east-1' }],
  ['AWS_REGION', { AWS_REGION: 'us-gov-west-1', AWS_DEFAULT_REGION: 'eu-west-1' }, { region: 'us-gov-west-1' }],
  ['AWS_DEFAULT_REGION', { AWS_DEFAULT_REGION: 'ap-southeast-3' }, { region: 'ap-southeast-3' }],
  [
    'AWS_REGION, beside a profile and a role',
    { AWS_REGION: 'eu-west-1', KAFKA_SASL_AWS_PROFILE: 'kafka', KAFKA_SASL_AWS_ROLE_ARN: ROLE },
    { region: 'eu-west-1', profile: 'kafka', roleArn: ROLE },
  ],
])('the region of AWS_MSK_IAM is read from %s', (_, environment, sasl) => {
  expect(read({ ...MSK, ...environment })).toEqual({
    security: { protocol: 'SASL_SSL', tls: {}, sasl: { mechanism: 'AWS_MSK_IAM', ...sasl } },
    problems: [],
  });
});

test.each<[string, () => Environment, string]>([
  [
    'AWS_MSK_IAM without TLS',
    () => ({ ...MSK, KAFKA_SECURITY_PROTOCOL: 'SASL_PLAINTEXT', AWS_REGION: 'eu-west-1' }),
    'KAFKA_SASL_MECHANISM is AWS_MSK_IAM, which needs TLS, but KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT. Set KAFKA_SECURITY_PROTOCOL to SASL_SSL',
  ],
  [
    'AWS_MSK_IAM without a region',
    () => MSK,
    'KAFKA_SASL_AWS_REGION is required with KAFKA_SASL_MECHANISM=AWS_MSK_IAM, unless AWS_REGION is set. Set it to the region of the cluster',
  ],
  [
    'a region that is none',
    () => ({ ...MSK, AWS_REGION: 'eu-west-1a' }),
    'AWS_REGION must be a region of AWS, like eu-west-1, but is "eu-west-1a"',
  ],
  [
    'a role that is not an ARN',
    () => ({ ...MSK, AWS_REGION: 'eu-west-1', KAFKA_SASL_AWS_ROLE_ARN: 'sync' }),
    'KAFKA_SASL_AWS_ROLE_ARN must be the ARN of a role, like arn:aws:iam::123456789012:role/sync, but is "sync"',
  ],
  [
    'a role for PLAIN',
    () => ({ ...LOGIN, KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SASL_AWS_ROLE_ARN: ROLE }),
    'KAFKA_SASL_AWS_ROLE_ARN is set, but KAFKA_SASL_MECHANISM is PLAIN, which does not use it. Set KAFKA_SASL_MECHANISM to AWS_MSK_IAM, or remove KAFKA_SASL_AWS_ROLE_ARN',
  ],
  [
    'a user for AWS_MSK_IAM',
    () => ({ ...MSK, AWS_REGION: 'eu-west-1', KAFKA_SASL_USERNAME: 'ada' }),
    'KAFKA_SASL_USERNAME is set, but KAFKA_SASL_MECHANISM is AWS_MSK_IAM, which does not use it. Set KAFKA_SASL_MECHANISM to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or remove KAFKA_SASL_USERNAME',
  ],
  [
    'an unknown protocol',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'TLS' }),
    'KAFKA_SECURITY_PROTOCOL must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, but is "TLS"',
  ],
  [
    'a user without SASL',
    () => ({ KAFKA_SASL_USERNAME: 'ada' }),
    'KAFKA_SASL_USERNAME is set, but KAFKA_SECURITY_PROTOCOL is PLAINTEXT, which does not use SASL. Set KAFKA_SECURITY_PROTOCOL to SASL_SSL or SASL_PLAINTEXT, or remove KAFKA_SASL_USERNAME',
  ],
  [
    'a mechanism with TLS alone',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SASL_MECHANISM: 'PLAIN' }),
    'KAFKA_SASL_MECHANISM is set, but KAFKA_SECURITY_PROTOCOL is SSL, which does not use SASL. Set KAFKA_SECURITY_PROTOCOL to SASL_SSL, or remove KAFKA_SASL_MECHANISM',
  ],
  [
    'a CA without TLS',
    () => ({ KAFKA_SSL_CA: file('one.crt') }),
    'KAFKA_SSL_CA is set, but KAFKA_SECURITY_PROTOCOL is PLAINTEXT, which does not use TLS. Set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or remove KAFKA_SSL_CA',
  ],
  [
    'SASL without a mechanism',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', ...LOGIN }),
    'KAFKA_SASL_MECHANISM is required with KAFKA_SECURITY_PROTOCOL=SASL_SSL. Set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM',
  ],
  [
    'a mechanism without a user',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SASL_PASSWORD: 'x' }),
    'KAFKA_SASL_USERNAME is required',
  ],
  [
    'a user for OAUTHBEARER',
    () => ({ ...OAUTH, KAFKA_SASL_USERNAME: 'ada' }),
    'KAFKA_SASL_USERNAME is set, but KAFKA_SASL_MECHANISM is OAUTHBEARER, which does not use it. Set KAFKA_SASL_MECHANISM to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or remove KAFKA_SASL_USERNAME',
  ],
  [
    'a token endpoint for PLAIN',
    () => ({ ...LOGIN, KAFKA_SECURITY_PROTOCOL: 'SASL_SSL', KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SASL_OAUTH_SCOPE: 'x' }),
    'KAFKA_SASL_OAUTH_SCOPE is set, but KAFKA_SASL_MECHANISM is PLAIN, which does not use it. Set KAFKA_SASL_MECHANISM to OAUTHBEARER, or remove KAFKA_SASL_OAUTH_SCOPE',
  ],
  [
    'a token endpoint without TLS',
    () => ({ ...OAUTH, KAFKA_SASL_OAUTH_TOKEN_URL: 'http://login.example.com' }),
    'KAFKA_SASL_OAUTH_TOKEN_URL must be an https URL (http only on this machine), but is "http://login.example.com"',
  ],
  [
    'a certificate without its key',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CERT: file('one.crt') }),
    'KAFKA_SSL_CERT is set without KAFKA_SSL_KEY. Set KAFKA_SSL_KEY to the file with the private key',
  ],
  [
    'a key without its certificate',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_KEY: file('one.key') }),
    'KAFKA_SSL_KEY is set without KAFKA_SSL_CERT. Set KAFKA_SSL_CERT to the file with the certificate',
  ],
  [
    'a file that is not there',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA: '/nowhere' }),
    'KAFKA_SSL_CA: the file /nowhere cannot be read: ENOENT',
  ],
  [
    'a CA that is not PEM',
    () => ({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA: file('text') }),
    'KAFKA_SSL_CA is not a PEM file. Set it to a file that begins with "-----BEGIN CERTIFICATE-----"',
  ],
])('%s is a problem', (_, environment, problem) => {
  expect(read(environment()).problems).toEqual([problem]);
});

test.each<[string, string, string, RegExp]>([
  [
    'a broken certificate',
    'broken',
    'one.key',
    /^KAFKA_SSL_CERT cannot be used \(.+\)\. Set it to the PEM file with the client certificate/,
  ],
  [
    'a certificate in place of the key',
    'one.crt',
    'one.crt',
    /^KAFKA_SSL_KEY cannot be used \(.+\)\. Set it to the PEM file with the private key/,
  ],
  [
    'the key of another certificate',
    'one.crt',
    'two.key',
    /^KAFKA_SSL_CERT and KAFKA_SSL_KEY cannot be used \(.+\)\. Set KAFKA_SSL_KEY to the private key of that certificate$/,
  ],
])('%s is a problem', (_, cert, key, problem) => {
  const { problems } = read({ KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CERT: file(cert), KAFKA_SSL_KEY: file(key) });
  expect(problems).toEqual([expect.stringMatching(problem)]);
});

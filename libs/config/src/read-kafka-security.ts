import { createSecureContext } from 'node:tls';
import type { Reader } from './environment.js';
import { isSafeUrl } from './safe-url.js';
import { KAFKA_SECURITY_PROTOCOLS, type KafkaSasl, type KafkaSecurity, type KafkaTls, SASL_MECHANISMS } from './settings.js';

const TLS_VARIABLES = ['KAFKA_SSL_CA', 'KAFKA_SSL_CERT', 'KAFKA_SSL_KEY'];
const PASSWORD_VARIABLES = ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD', 'KAFKA_SASL_PASSWORD_FILE'];
const OAUTH_VARIABLES = [
  'KAFKA_SASL_OAUTH_TOKEN_URL',
  'KAFKA_SASL_OAUTH_CLIENT_ID',
  'KAFKA_SASL_OAUTH_CLIENT_SECRET',
  'KAFKA_SASL_OAUTH_CLIENT_SECRET_FILE',
  'KAFKA_SASL_OAUTH_SCOPE',
];
const AWS_VARIABLES = ['KAFKA_SASL_AWS_REGION', 'KAFKA_SASL_AWS_PROFILE', 'KAFKA_SASL_AWS_ROLE_ARN'];
const SASL_VARIABLES = ['KAFKA_SASL_MECHANISM', ...PASSWORD_VARIABLES, ...OAUTH_VARIABLES, ...AWS_VARIABLES];

/** Variables of AWS's own that have the region, in the order in which its SDKs prefer them. Amazon EKS, ECS and Lambda set the first one. */
const AWS_OWN_REGION = ['AWS_REGION', 'AWS_DEFAULT_REGION'];
const AWS_REGION = /^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$/;
const AWS_ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/\S+$/;

/** Reads how the service connects to Kafka. A variable that the protocol or the mechanism does not use is a problem, not ignored. */
export function readKafkaSecurity(read: Reader): KafkaSecurity {
  const protocol = read.oneOf('KAFKA_SECURITY_PROTOCOL', KAFKA_SECURITY_PROTOCOLS, 'PLAINTEXT');
  const usesTls = protocol.endsWith('SSL');
  const usesSasl = protocol.startsWith('SASL_');
  // All are looked up, whatever the protocol is: each may be one that is not used.
  const set = new Set([...TLS_VARIABLES, ...SASL_VARIABLES].filter((name) => read.isSet(name)));
  const refuse = (names: readonly string[], why: string, remedy: string): void => {
    for (const name of names.filter((candidate) => set.has(candidate))) {
      read.problems.push(`${name} is set, but ${why}. ${remedy}, or remove ${name}`);
    }
  };
  if (!usesTls) {
    const remedy = `Set KAFKA_SECURITY_PROTOCOL to ${usesSasl ? 'SASL_SSL' : 'SSL or SASL_SSL'}`;
    refuse(TLS_VARIABLES, `KAFKA_SECURITY_PROTOCOL is ${protocol}, which does not use TLS`, remedy);
  }
  if (!usesSasl) {
    const remedy = `Set KAFKA_SECURITY_PROTOCOL to ${usesTls ? 'SASL_SSL' : 'SASL_SSL or SASL_PLAINTEXT'}`;
    refuse(SASL_VARIABLES, `KAFKA_SECURITY_PROTOCOL is ${protocol}, which does not use SASL`, remedy);
  }
  return { protocol, tls: usesTls ? readTls(read) : undefined, sasl: usesSasl ? readSasl(read, protocol, refuse) : undefined };
}

function readTls(read: Reader): KafkaTls {
  const before = read.problems.length;
  const [ca, cert, key] = TLS_VARIABLES.map((name) => read.file(name));
  if (cert && !key) read.problems.push('KAFKA_SSL_CERT is set without KAFKA_SSL_KEY. Set KAFKA_SSL_KEY to the file with the private key');
  if (key && !cert) read.problems.push('KAFKA_SSL_KEY is set without KAFKA_SSL_CERT. Set KAFKA_SSL_CERT to the file with the certificate');
  const tls = { ca, certificate: cert && key ? { cert, key } : undefined };
  if (read.problems.length === before) checkPem(read, tls);
  return tls;
}

/** Checks each file by itself, so that the problem names it, and then the pair of certificate and key. */
function checkPem(read: Reader, { ca, certificate }: KafkaTls): void {
  const check = (names: string, remedy: string, options: Parameters<typeof createSecureContext>[0]): boolean => {
    try {
      createSecureContext(options);
      return true;
    } catch (error) {
      read.problems.push(`${names} cannot be used (${(error as Error).message}). ${remedy}`);
      return false;
    }
  };
  // OpenSSL ignores a file without a certificate.
  const isPem = (name: string, text: string): boolean => {
    const found = text.includes('-----BEGIN ');
    if (!found) read.problems.push(`${name} is not a PEM file. Set it to a file that begins with "-----BEGIN CERTIFICATE-----"`);
    return found;
  };
  const caText = ca?.();
  if (caText !== undefined && isPem('KAFKA_SSL_CA', caText))
    check('KAFKA_SSL_CA', 'Set it to a file with the PEM certificates of the CA', { ca: caText });
  if (!certificate) return;
  const [cert, key] = [certificate.cert(), certificate.key()];
  if (!check('KAFKA_SSL_CERT', 'Set it to the PEM file with the client certificate and those of its intermediate CAs', { cert })) return;
  if (!check('KAFKA_SSL_KEY', 'Set it to the PEM file with the private key, without a passphrase', { key })) return;
  check('KAFKA_SSL_CERT and KAFKA_SSL_KEY', 'Set KAFKA_SSL_KEY to the private key of that certificate', { cert, key });
}

type Refuse = (names: readonly string[], why: string, remedy: string) => void;

function readSasl(read: Reader, protocol: string, refuse: Refuse): KafkaSasl | undefined {
  if (!read.isSet('KAFKA_SASL_MECHANISM')) {
    read.problems.push(
      `KAFKA_SASL_MECHANISM is required with KAFKA_SECURITY_PROTOCOL=${protocol}. Set it to ${SASL_MECHANISMS.join(', ')}`,
    );
    return undefined;
  }
  const mechanism = read.oneOf('KAFKA_SASL_MECHANISM', SASL_MECHANISMS, 'PLAIN');
  const why = `KAFKA_SASL_MECHANISM is ${mechanism}, which does not use it`;
  const isByPassword = mechanism !== 'OAUTHBEARER' && mechanism !== 'AWS_MSK_IAM';
  if (!isByPassword) refuse(PASSWORD_VARIABLES, why, 'Set KAFKA_SASL_MECHANISM to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512');
  if (mechanism !== 'OAUTHBEARER') refuse(OAUTH_VARIABLES, why, 'Set KAFKA_SASL_MECHANISM to OAUTHBEARER');
  if (mechanism !== 'AWS_MSK_IAM') refuse(AWS_VARIABLES, why, 'Set KAFKA_SASL_MECHANISM to AWS_MSK_IAM');
  if (isByPassword) return { mechanism, username: read.text('KAFKA_SASL_USERNAME'), password: read.secret('KAFKA_SASL_PASSWORD') };
  return mechanism === 'OAUTHBEARER' ? readOAuth(read) : readMskIam(read, protocol);
}

function readOAuth(read: Reader): KafkaSasl {
  const tokenUrl = read.text('KAFKA_SASL_OAUTH_TOKEN_URL');
  if (tokenUrl !== '' && !isSafeUrl(tokenUrl)) {
    read.problems.push(`KAFKA_SASL_OAUTH_TOKEN_URL must be an https URL (http only on this machine), but is "${tokenUrl}"`);
  }
  const scope = read.text('KAFKA_SASL_OAUTH_SCOPE', '');
  return {
    mechanism: 'OAUTHBEARER',
    tokenUrl,
    clientId: read.text('KAFKA_SASL_OAUTH_CLIENT_ID'),
    clientSecret: read.secret('KAFKA_SASL_OAUTH_CLIENT_SECRET'),
    scope: scope === '' ? undefined : scope,
  };
}

function readMskIam(read: Reader, protocol: string): KafkaSasl {
  if (protocol !== 'SASL_SSL') {
    read.problems.push(
      `KAFKA_SASL_MECHANISM is AWS_MSK_IAM, which needs TLS, but KAFKA_SECURITY_PROTOCOL is ${protocol}. Set KAFKA_SECURITY_PROTOCOL to SASL_SSL`,
    );
  }
  const source = ['KAFKA_SASL_AWS_REGION', ...AWS_OWN_REGION].find((name) => read.isSet(name));
  if (source === undefined) {
    read.problems.push(
      'KAFKA_SASL_AWS_REGION is required with KAFKA_SASL_MECHANISM=AWS_MSK_IAM, unless AWS_REGION is set. Set it to the region of the cluster',
    );
  }
  const region = source === undefined ? '' : read.matching(source, AWS_REGION, '', 'a region of AWS, like eu-west-1');
  const roleArn = read.text('KAFKA_SASL_AWS_ROLE_ARN', '');
  if (roleArn !== '' && !AWS_ROLE_ARN.test(roleArn)) {
    read.problems.push(`KAFKA_SASL_AWS_ROLE_ARN must be the ARN of a role, like arn:aws:iam::123456789012:role/sync, but is "${roleArn}"`);
  }
  const profile = read.text('KAFKA_SASL_AWS_PROFILE', '');
  return {
    mechanism: 'AWS_MSK_IAM',
    region,
    profile: profile === '' ? undefined : profile,
    roleArn: roleArn === '' ? undefined : roleArn,
  };
}

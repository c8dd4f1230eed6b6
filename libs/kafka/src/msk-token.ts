import { Logger } from '@nestjs/common';
import type { KafkaSasl } from '#config';
import { awsCredentialsName, SettingsProblem } from './connection-errors.js';

type MskIam = Extract<KafkaSasl, { mechanism: 'AWS_MSK_IAM' }>;

/** A token, and the times (Date.now(), ms) between which it is valid. */
export interface Token {
  readonly value: string;
  readonly validFrom: number;
  readonly validUntil: number;
}

/** Name of the session of a role that is assumed, which AWS CloudTrail shows. */
const ROLE_SESSION = 'subscription-sync';
const MAX_ATTEMPTS = 3;
/** Maximum length of AWS's reason in a message: a program that gives credentials may print anything. */
const MAX_REASON = 300;

/**
 * Signs a token for Amazon MSK with the present credentials. AWS's packages are loaded here, when the first one is signed: 42 packages, which cost 100 ms
 * and 15 MB.
 * @throws SettingsProblem that says which credentials are missing or refused. It never contains a key or a token.
 */
export async function signMskToken(sasl: MskIam, timeoutMs: number): Promise<Token> {
  const signer = await import('aws-msk-iam-sasl-signer-js');
  const { expiration, ...credentials } = await loadCredentials(sasl, timeoutMs);
  const validFrom = Date.now();
  if (expiration && expiration.getTime() <= validFrom) {
    throw new SettingsProblem(`${awsCredentialsName(sasl)} for the login to Kafka expired at ${expiration.toISOString()}: renew them`);
  }
  const { token, expiryTime } = await signer.generateAuthTokenFromCredentialsProvider({
    region: sasl.region,
    // The signer is not told when they expire: it would write a fraction of a second into X-Amz-Expires, which has to be a whole number.
    awsCredentialsProvider: () => Promise.resolve(credentials),
  });
  return { value: token, validFrom, validUntil: Math.min(expiryTime, expiration?.getTime() ?? Infinity) };
}

type Credentials = Awaited<ReturnType<ReturnType<typeof import('@aws-sdk/credential-providers').fromNodeProviderChain>>>;

/**
 * Loads the credentials by a new provider each time. Those of the SDK keep credentials, and the shared files, as long as the process runs, so that
 * replaced ones would not be taken.
 */
async function loadCredentials(sasl: MskIam, timeoutMs: number): Promise<Credentials> {
  const { fromIni, fromNodeProviderChain, fromTemporaryCredentials } = await import('@aws-sdk/credential-providers');
  const { region, profile, roleArn } = sasl;
  const options = { ignoreCache: true, clientConfig: { region, maxAttempts: MAX_ATTEMPTS }, maxRetries: MAX_ATTEMPTS, logger: WARNINGS };
  // The chain would go on to other credentials where the profile has none.
  const own = profile === undefined ? fromNodeProviderChain(options) : fromIni({ ...options, profile });
  const provider =
    roleArn === undefined
      ? own
      : fromTemporaryCredentials({ ...options, masterCredentials: own, params: { RoleArn: roleArn, RoleSessionName: ROLE_SESSION } });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([provider(), timeout]);
  } catch (error) {
    throw new SettingsProblem(explain(error as Error, sasl));
  } finally {
    clearTimeout(timer);
  }
}

function explain({ name, message }: Error, sasl: MskIam): string {
  const reason = message.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_REASON);
  if (name.startsWith('Expired')) return `${awsCredentialsName(sasl)} for the login to Kafka have expired (${reason}): renew them`;
  if (sasl.roleArn !== undefined && name !== 'CredentialsProviderError') {
    return (
      `AWS gives no credentials of role ${sasl.roleArn} for the login to Kafka (${reason}): check KAFKA_SASL_AWS_ROLE_ARN, that the trust policy of the ` +
      'role allows sts:AssumeRole, and that AWS STS can be reached'
    );
  }
  const remedy =
    sasl.profile === undefined
      ? 'give the pod, the task or the instance an IAM role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or KAFKA_SASL_AWS_PROFILE'
      : 'correct KAFKA_SASL_AWS_PROFILE, or write the profile into the shared credentials file of AWS';
  return `there are no AWS credentials for the login to Kafka (${reason}): ${remedy}`;
}

const ignore = (): void => undefined;
/** Passes on the SDK's warnings, which it would print on the console. Other lines may have what a request contains. */
const WARNINGS = {
  debug: ignore,
  info: ignore,
  error: ignore,
  warn: (text: string): void => new Logger('kafka').warn({ code: 'kafka-token', message: text.replaceAll(/\s+/g, ' ').trim() }),
};

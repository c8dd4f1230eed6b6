import type { KafkaSasl, KafkaSecurity, KafkaSettings } from '#config';

const CODE = 'ERR_KAFKA_SETTINGS';

/**
 * A setting of the service or of Kafka has to be corrected. kafkajs keeps the code of a connection's error, puts words before its message, and logs its
 * stack, by which its line is recognised: the places in the code do not matter.
 */
export class SettingsProblem extends Error {
  readonly code = CODE;
  override readonly stack = `${CODE}: ${this.message}`;

  static isInLog(log: object): boolean {
    return 'stack' in log && String(log.stack).startsWith(CODE);
  }
}

const UNKNOWN_CA = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
]);
/** The end of the message from Node 24 on: an option of Node's command line, which is not how this service is set up. */
const HINT_OF_NODE = /; if the root CA is installed locally, .*$/;
/** Answers of a server that does not like the client's certificate or its absence. Not all servers use the one that is meant for it. */
const CERTIFICATE_ALERT =
  /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED|UNKNOWN_CA|HANDSHAKE_FAILURE)$/;
/** Answers that are not TLS, and the ends of connections on which no TLS was spoken. */
const NOT_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_UNEXPECTED_MESSAGE']);

/** Returns an error that says what to correct, or the same error if it is none of a setting. */
export function explainSocketError(error: Error, { protocol, tls }: KafkaSecurity, broker: string): Error {
  if (tls === undefined) return error;
  const { code = '', cert } = error as { code?: string; cert?: { subjectaltname?: string } };
  if (UNKNOWN_CA.has(code)) {
    const known = tls.ca ? 'that KAFKA_SSL_CA has' : 'that Node.js knows';
    return new SettingsProblem(
      `the certificate of ${broker} is not from a CA ${known} (${error.message.replace(HINT_OF_NODE, '')}): set KAFKA_SSL_CA to the file with the certificate of its CA`,
    );
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new SettingsProblem(
      `the certificate of ${broker} is not for this host, but for ${cert?.subjectaltname ?? 'none'}: use a name of the certificate in KAFKA_SERVER ` +
        "and in the broker's advertised.listeners, or give the broker a certificate for this host",
    );
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    const how = code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet';
    return new SettingsProblem(
      `the certificate of ${broker}, or of its CA, ${how}: renew it on the broker (and check the clock of this machine)`,
    );
  }
  if (CERTIFICATE_ALERT.test(code)) {
    return new SettingsProblem(
      tls.certificate
        ? `${broker} refuses the client certificate (${code}): set KAFKA_SSL_CERT to a valid one from a CA that the broker trusts`
        : `${broker} demands a client certificate (${code}): set KAFKA_SSL_CERT and KAFKA_SSL_KEY`,
    );
  }
  if (NOT_TLS.has(code) || /before secure TLS connection/.test(error.message)) {
    return new SettingsProblem(
      `${broker} ended the TLS handshake: if its listener does not use TLS, set KAFKA_SECURITY_PROTOCOL to ` +
        `${protocol === 'SSL' ? 'PLAINTEXT' : 'SASL_PLAINTEXT'}, or use the port of its TLS listener`,
    );
  }
  return error;
}

/** TLS's content type of an alert, and its major version. */
const TLS_ALERT = [0x15, 0x03] as const;

/** Returns what to correct if a connection without TLS is answered by TLS. */
export function explainFirstBytes(bytes: Buffer, { protocol, tls }: KafkaSecurity, broker: string): string | undefined {
  if (tls !== undefined || bytes[0] !== TLS_ALERT[0] || bytes[1] !== TLS_ALERT[1]) return undefined;
  return `${broker} uses TLS: set KAFKA_SECURITY_PROTOCOL to ${protocol === 'PLAINTEXT' ? 'SSL or SASL_SSL' : 'SASL_SSL'}`;
}

/**
 * Returns what may have to be corrected if a broker ends a connection without an answer, or after the first one, which tells the versions that it
 * understands. A broker that stops may do so too.
 */
export function explainEnd(wasAnswered: boolean, { protocol, tls, sasl }: KafkaSecurity, broker: string): string | undefined {
  if (!wasAnswered && tls === undefined) {
    const withTls = sasl ? 'SASL_SSL' : 'SSL or SASL_SSL';
    return `${broker} closed the connection without an answer: if its listener uses TLS, set KAFKA_SECURITY_PROTOCOL to ${withTls}`;
  }
  if (!wasAnswered || sasl !== undefined) return undefined;
  return (
    `${broker} closed the connection when the service sent a request without a login: if its listener demands SASL, set KAFKA_SECURITY_PROTOCOL to ` +
    (protocol === 'SSL' ? 'SASL_SSL' : 'SASL_PLAINTEXT')
  );
}

/** Uses of the topic and the group, each of which needs its own permissions. */
export type KafkaUse = 'publish' | 'read' | 'inspect';

const NEEDED = {
  publish: { topic: 'Write', group: 'Describe' },
  read: { topic: 'Read', group: 'Read' },
  inspect: { topic: 'Describe', group: 'Describe' },
} as const;

/** Returns what is wrong, with what to do where a setting of the service or of Kafka has to be corrected. */
export function explainKafkaError(error: Error, settings: KafkaSettings, use: KafkaUse): string {
  return settingsProblemOf(error, settings, use) ?? error.message;
}

/** Returns what to correct, or undefined for an error that may pass by itself. */
export function settingsProblemOf(error: unknown, settings: KafkaSettings, use: KafkaUse): string | undefined {
  for (const cause of causesOf(error)) {
    if (cause.code === CODE) return cause.message.replace(/^(Connection error|Failed to connect): /, '');
    const why = explainLogin(cause, settings.security) ?? explainRefusal(cause, settings, use);
    if (why !== undefined) return why;
  }
  return undefined;
}

interface Cause {
  readonly name: string;
  readonly message: string;
  readonly type?: string;
  readonly code?: unknown;
}

/** Yields the error, its causes, and the errors that it sums up. */
function* causesOf(error: unknown): Generator<Cause> {
  if (!(error instanceof Error)) return;
  yield error;
  const { cause, errors } = error as { cause?: unknown; errors?: unknown };
  if (cause !== error) yield* causesOf(cause);
  if (Array.isArray(errors)) for (const one of errors) yield* causesOf(one);
}

function explainLogin({ name, type, message }: Cause, { protocol, sasl }: KafkaSecurity): string | undefined {
  if (sasl === undefined) return undefined;
  if (type === 'UNSUPPORTED_SASL_MECHANISM') {
    return sasl.mechanism === 'AWS_MSK_IAM'
      ? "Kafka's listener does not offer the mechanism OAUTHBEARER, which AWS_MSK_IAM uses: use the port of its IAM listener (9098, or 9198 from outside of the VPC)"
      : `Kafka's listener does not offer the mechanism ${sasl.mechanism}: set KAFKA_SASL_MECHANISM to one that it offers (sasl.enabled.mechanisms)`;
  }
  if (type === 'ILLEGAL_SASL_STATE') {
    const without = protocol === 'SASL_SSL' ? 'SSL' : 'PLAINTEXT';
    return `Kafka's listener takes no SASL login: set KAFKA_SECURITY_PROTOCOL to ${without}, or use the port of its SASL listener`;
  }
  if (name !== 'KafkaJSSASLAuthenticationError' && type !== 'SASL_AUTHENTICATION_FAILED') return undefined;
  const reason = message.replace(/^SASL .*? authentication failed: /, '');
  // The file of the password cannot be read.
  if (reason.startsWith('KAFKA_')) return reason;
  if (sasl.mechanism === 'AWS_MSK_IAM') {
    return (
      `Kafka refuses ${clientName({ sasl })} (${reason}): allow kafka-cluster:Connect in their IAM policy (docs/connecting.md), and check that the cluster ` +
      `is in region ${sasl.region} (KAFKA_SASL_AWS_REGION) and that they have not expired`
    );
  }
  return sasl.mechanism === 'OAUTHBEARER'
    ? `Kafka refuses the token of client "${sasl.clientId}" (${reason}): check that the broker accepts tokens of ${sasl.tokenUrl}, and KAFKA_SASL_OAUTH_SCOPE`
    : `Kafka refuses user "${sasl.username}" or its password (${sasl.mechanism}: ${reason}): correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD`;
}

/** Settings with which Kafka has lately denied a client to find the coordinator of its group. */
const groupRefused = new WeakSet<KafkaSettings>();

/**
 * Takes notice of a line of kafkajs's log: when a client may not find the coordinator of its group, kafkajs logs why, and throws an error that does not
 * tell it from a Kafka that is starting.
 */
export function noteGroupRefusal(settings: KafkaSettings, message: string, error: unknown): void {
  if (message.startsWith('Response GroupCoordinator') && String(error).includes('Group authorization failed')) groupRefused.add(settings);
}

/** Actions of IAM by which Amazon MSK allows an operation. */
const IAM_ACTIONS = {
  topic: { Create: 'CreateTopic', Describe: 'DescribeTopic', Read: 'ReadData', Write: 'WriteData' },
  group: { Describe: 'DescribeGroup', Read: 'AlterGroup' },
} as const;

function explainRefusal({ type, name }: Cause, settings: KafkaSettings, use: KafkaUse): string | undefined {
  const usesIam = settings.security.sasl?.mechanism === 'AWS_MSK_IAM';
  const deny = (operation: string, resource: string, action: string): string =>
    `Kafka denies ${clientName(settings.security)} the operation ${operation} on ${resource}: ` +
    (usesIam ? `allow kafka-cluster:${action} in their IAM policy (docs/connecting.md)` : 'add an ACL that allows it (docs/connecting.md)');
  if (name === 'KafkaJSCreateTopicError' && type?.endsWith('_AUTHORIZATION_FAILED')) {
    return `topic "${settings.topic}" does not exist, and ${deny('Create', 'it', IAM_ACTIONS.topic.Create)}, or create the topic`;
  }
  const needed = NEEDED[use];
  if (type === 'TOPIC_AUTHORIZATION_FAILED') return deny(needed.topic, `topic "${settings.topic}"`, IAM_ACTIONS.topic[needed.topic]);
  const isGroup = type === 'GROUP_AUTHORIZATION_FAILED' || (name === 'KafkaJSGroupCoordinatorNotFound' && groupRefused.delete(settings));
  if (isGroup) return deny(needed.group, `group "${settings.groupId}"`, IAM_ACTIONS.group[needed.group]);
  return undefined;
}

/** Returns how a message names the credentials: by their role or their profile where the settings have one. */
export function awsCredentialsName({ profile, roleArn }: Extract<KafkaSasl, { mechanism: 'AWS_MSK_IAM' }>): string {
  if (roleArn !== undefined) return `the AWS credentials of role ${roleArn}`;
  return profile === undefined ? 'the AWS credentials' : `the AWS credentials of profile "${profile}"`;
}

function clientName({ sasl, tls }: Partial<KafkaSecurity>): string {
  if (sasl?.mechanism === 'OAUTHBEARER') return `client "${sasl.clientId}"`;
  if (sasl?.mechanism === 'AWS_MSK_IAM') return awsCredentialsName(sasl);
  if (sasl) return `user "${sasl.username}"`;
  return tls?.certificate ? 'the user of the certificate in KAFKA_SSL_CERT' : 'clients without a login';
}

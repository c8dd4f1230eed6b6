import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { type EmbeddedKafka, startKafka } from '../../apps/standalone/src/kafka.js';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { type Certificate, CertificateAuthority, writeCertificate } from './certificates.js';
import { temporaryFolder } from './temporary-folder.js';
import { kafkaVersion } from './tested-versions.js';

/** The password of all users, and the secret of all clients of the token endpoint. */
export const PASSWORD = 'wonderland';

/** The listeners beside the one without security, on which Kafka's administrator works. */
const LISTENERS = { TLS: 'SSL', MTLS: 'SSL', EXPIRED: 'SSL', LOGIN: 'SASL_PLAINTEXT', TLSLOGIN: 'SASL_SSL' } as const;
export type SecureListener = keyof typeof LISTENERS;
const NAMES = Object.keys(LISTENERS) as SecureListener[];
/** They log in by PLAIN and by SCRAM. */
const USERS = ['alice', 'bob'];

/** Values of the Kafka protocol. kafkajs's own enums cannot be imported by name from an ES module. */
const RESOURCES = { topic: 2, group: 3, cluster: 4 } as const;
const OPERATIONS = { Read: 3, Write: 4, Create: 5, Describe: 8, DescribeConfigs: 10 } as const;
const [LITERAL, ALLOW] = [3, 3];

/** A right of a user. */
export interface Acl {
  readonly user: string;
  readonly operation: keyof typeof OPERATIONS;
  readonly on: keyof typeof RESOURCES;
  readonly name: string;
}

/**
 * A Kafka with TLS and SASL on listeners of their own, and an authorizer that allows users nothing without an ACL. `alice` and `bob` have a
 * password, `CN=carol` has a certificate, and a token endpoint issues tokens for client `erin`.
 */
export class SecureKafka {
  private constructor(
    private readonly folder: string,
    private readonly kafka: EmbeddedKafka,
    private readonly tokens: Server,
    private readonly ports: Readonly<Record<SecureListener, number>>,
    readonly ca: CertificateAuthority,
    /** The files with the certificates of `ca`, and of a CA that no broker has. */
    readonly caFile: string,
    readonly otherCaFile: string,
    /** The files of the certificate and the key of `CN=carol`. */
    readonly carol: { readonly certificate: string; readonly key: string },
  ) {}

  static async start(): Promise<SecureKafka> {
    const folder = temporaryFolder('subscription-sync-');
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const store = (name: string, { key, certificate }: Certificate): string => write(name, `${key}${certificate}`);
    const ca = new CertificateAuthority('ca');
    const caFile = write('ca.pem', ca.certificate);
    const otherCaFile = write('other-ca.pem', new CertificateAuthority('other ca').certificate);
    const carol = writeCertificate(folder, 'carol', ca.issue(['carol']));
    const stores = {
      broker: store('broker.pem', ca.issue(['localhost'])),
      expired: store('expired.pem', ca.issue(['localhost'], { expired: true })),
      trusted: caFile,
    };
    const tokens = await startTokenEndpoint();
    const ports: Partial<Record<SecureListener, number>> = {};
    for (const name of NAMES) ports[name] = await pickFreePort();
    const chosen = ports as Record<SecureListener, number>;
    mkdirSync(join(folder, 'kafka'));
    const kafka = await startKafka({
      dataDir: join(folder, 'kafka'),
      port: 0,
      version: kafkaVersion(),
      security: {
        listeners: Object.fromEntries(NAMES.map((name) => [name, { port: chosen[name], protocol: LISTENERS[name] }])),
        properties: properties(stores),
        scramUsers: USERS.flatMap((user) => ['256', '512'].map((bits) => `SCRAM-SHA-${bits}=[name=${user},password=${PASSWORD}]`)),
      },
    });
    return new SecureKafka(folder, kafka, tokens, chosen, ca, caFile, otherCaFile, carol);
  }

  /** The listener without security. Its clients may do everything. */
  get server(): string {
    return this.kafka.server;
  }

  /** Returns a value for KAFKA_SERVER. The brokers' certificates are for `localhost`. */
  listener(name: SecureListener, host = 'localhost'): string {
    return `${host}:${this.ports[name]}`;
  }

  get tokenUrl(): string {
    return `http://localhost:${(this.tokens.address() as AddressInfo).port}/token`;
  }

  async allow(acls: readonly Acl[]): Promise<void> {
    await this.asAdmin(async (admin) => {
      const acl = acls.map(({ user, operation, on, name }) => ({
        principal: `User:${user}`,
        host: '*',
        operation: OPERATIONS[operation],
        permissionType: ALLOW,
        resourceType: RESOURCES[on],
        resourceName: name,
        resourcePatternType: LITERAL,
      }));
      await admin.createAcls({ acl });
    });
  }

  async asAdmin(work: (admin: Admin) => Promise<unknown>): Promise<void> {
    const admin = new Kafka({ clientId: 'admin', brokers: [this.server], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      await work(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async stop(): Promise<void> {
    await this.kafka.stop();
    this.tokens.close();
    this.tokens.closeAllConnections();
    rmSync(this.folder, { recursive: true });
  }
}

interface Stores {
  readonly broker: string;
  readonly expired: string;
  readonly trusted: string;
}

function properties({ broker, expired, trusted }: Stores): Record<string, string> {
  const security = 'org.apache.kafka.common.security';
  const users = USERS.map((user) => `user_${user}="${PASSWORD}"`).join(' ');
  const logins = {
    plain: `${security}.plain.PlainLoginModule required ${users};`,
    'scram-sha-256': `${security}.scram.ScramLoginModule required;`,
    'scram-sha-512': `${security}.scram.ScramLoginModule required;`,
    // Tokens without a signature are accepted.
    oauthbearer: `${security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
  };
  const jaas = (listener: string, mechanisms: readonly (keyof typeof logins)[]): Record<string, string> => ({
    [`listener.name.${listener}.sasl.enabled.mechanisms`]: mechanisms.join(',').toUpperCase(),
    ...Object.fromEntries(mechanisms.map((mechanism) => [`listener.name.${listener}.${mechanism}.sasl.jaas.config`, logins[mechanism]])),
  });
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': broker,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': trusted,
    'listener.name.mtls.ssl.client.auth': 'required',
    'listener.name.expired.ssl.keystore.type': 'PEM',
    'listener.name.expired.ssl.keystore.location': expired,
    ...jaas('login', ['plain', 'scram-sha-256']),
    ...jaas('tlslogin', ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']),
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    // The administrator and the broker itself, which use the listener without security.
    'super.users': 'User:ANONYMOUS',
  };
}

/** Starts an endpoint that issues tokens to clients with the right secret (RFC 6749, 4.4). */
async function startTokenEndpoint(): Promise<Server> {
  const server = createServer((request, response) => {
    const [client, secret] = Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64')
      .toString()
      .split(':')
      .map(decodeURIComponent);
    let form = '';
    request.setEncoding('utf8').on('data', (text: string) => (form += text));
    request.on('end', () => {
      const grants = new URLSearchParams(form).get('grant_type') === 'client_credentials' && secret === PASSWORD;
      const answer = grants ? { access_token: unsignedToken(client!), token_type: 'Bearer', expires_in: 300 } : { error: 'invalid_client' };
      response.writeHead(grants ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  await once(server.listen(0, 'localhost'), 'listening');
  return server;
}

function unsignedToken(sub: string): string {
  const now = Math.floor(Date.now() / 1_000);
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  return `${encode({ alg: 'none' })}.${encode({ sub, iat: now, exp: now + 300 })}.`;
}

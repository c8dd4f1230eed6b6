import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { type ClientConfig, Connection } from 'pg';
import type { TlsSettings } from '#config';

/** Code of the errors below, which a later attempt may not meet: a certificate may have been replaced. */
export const TLS_ERROR = 'ETLS';

/** The parts of pg's connection that its types leave out. */
interface PgConnection {
  stream: Socket | TLSSocket;
  connect(port: number, host: string): void;
  /** Reads the messages that a stream delivers. */
  attachListeners(stream: Socket | TLSSocket): void;
}
const PgConnection = Connection as unknown as new (config: object) => Connection & PgConnection;

/**
 * A connection that negotiates TLS by libpq's `sslmode`, of which pg knows parts: it has no `prefer`, and takes certificates from the settings
 * once. Here the files are read for each connection, so that a certificate which was replaced is taken without a restart.
 *
 * https://www.postgresql.org/docs/current/libpq-ssl.html
 */
class TlsConnection extends PgConnection {
  constructor(
    config: ClientConfig,
    private readonly tls: TlsSettings,
  ) {
    super({ ...config, ssl: true });
    if (tls.channelBinding === 'require') this.requireChannelBinding();
  }

  override connect(port: number, host: string): void {
    super.connect(port, host);
    // pg's own listener for the server's answer ends the connection when the server has no TLS.
    this.stream.removeAllListeners('data');
    this.stream.once('data', (answer: Buffer) => this.negotiate(host, answer));
  }

  /** Handles the answer to the request for TLS: one byte. More would have been inserted before the connection was encrypted. */
  private negotiate(host: string, answer: Buffer): void {
    const { mode, variables } = this.tls;
    switch (answer.toString('latin1')) {
      case 'S':
        this.encrypt(host);
        return;
      case 'N':
        if (mode !== 'prefer') {
          this.fail(`the server does not offer TLS, and ${variables}_SSLMODE is ${mode}: set ssl = on there, or another mode`);
          return;
        }
        this.attachListeners(this.stream);
        this.emit('sslconnect');
        return;
      default:
        this.fail('the server did not answer the request for TLS as PostgreSQL does: is it PostgreSQL, and is the port right?');
    }
  }

  /** pg uses channel binding where the server offers it. These listeners come before pg's own. */
  private requireChannelBinding(): void {
    let isOffered = false;
    this.on('authenticationSASL', ({ mechanisms }: { readonly mechanisms: readonly string[] }) => {
      isOffered = mechanisms.includes('SCRAM-SHA-256-PLUS');
      if (!isOffered) this.refuseWithoutBinding();
    });
    this.on('authenticationOk', () => isOffered || this.refuseWithoutBinding());
    for (const method of ['authenticationCleartextPassword', 'authenticationMD5Password'])
      this.on(method, () => this.refuseWithoutBinding());
  }

  private refuseWithoutBinding(): void {
    const { variables } = this.tls;
    this.fail(
      `the server does not bind the password to the TLS channel, and channel_binding is require: set ${variables}_CHANNEL_BINDING=prefer`,
    );
  }

  private encrypt(host: string): void {
    let secure: TLSSocket;
    try {
      secure = connectTls({ ...secureOptions(this.tls), socket: this.stream, host, ...(isIP(host) === 0 && { servername: host }) });
    } catch (error) {
      this.fail((error as Error).message);
      return;
    }
    secure.on('error', (error: NodeJS.ErrnoException) => {
      const reason = reasonOf(error, this.tls, host);
      if (reason === undefined) this.emit('error', error);
      else this.fail(reason);
    });
    this.stream = secure;
    this.attachListeners(secure);
    this.emit('sslconnect');
  }

  private fail(message: string): void {
    this.stream.destroy();
    this.emit('error', Object.assign(new Error(`TLS: ${message}`), { code: TLS_ERROR }));
  }
}

/** Returns the part of a client's configuration that decides about TLS. It is for one client only. */
export function transportOf(tls: TlsSettings | undefined, config: ClientConfig = {}): ClientConfig {
  // Without a value, pg would read PGSSLMODE.
  if (tls === undefined) return { ssl: false };
  const connection = new TlsConnection(config, tls);
  return { ssl: true, connection, enableChannelBinding: tls.channelBinding !== 'disable' } as ClientConfig;
}

/** @throws Error when a file cannot be read. */
function secureOptions({ mode, rootCertificate, certificate, key }: TlsSettings): ConnectionOptions {
  return {
    cert: certificate?.(),
    key: key?.(),
    ca: rootCertificate === 'system' ? undefined : rootCertificate?.(),
    // As in libpq, `require` verifies the certificate's issuer where a root certificate is given.
    rejectUnauthorized: rootCertificate !== undefined,
    ...(mode !== 'verify-full' && { checkServerIdentity: () => undefined }),
  };
}

/** Returns what is wrong with a certificate and how to correct it; undefined for other errors. */
function reasonOf(
  error: NodeJS.ErrnoException & {
    readonly reason?: string;
    readonly cert?: { readonly subjectaltname?: string; readonly valid_to?: string };
  },
  { variables }: TlsSettings,
  host: string,
): string | undefined {
  const { code = '', cert } = error;
  // OpenSSL's own message has the names of its source files.
  const message = error.reason ?? error.message;
  if (code === 'CERT_HAS_EXPIRED') return "the server's certificate has expired: renew it there";
  if (code === 'CERT_NOT_YET_VALID') return "the server's certificate is not valid yet: compare the clocks of both machines";
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = cert?.subjectaltname ?? 'no name';
    return `the server's certificate is for ${names}, and not for ${host}: connect to one of these names, or set ${variables}_SSLMODE=verify-ca`;
  }
  if (/^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_|INVALID_CA)/.test(code)) {
    return `the server's certificate was not issued by a CA of ${variables}_SSLROOTCERT: ${message}`;
  }
  if (/ALERT/.test(code)) return `the server refused: ${message}. ${variables}_SSLCERT and ${variables}_SSLKEY name the certificate for it`;
  return code.startsWith('ERR_SSL') || code.startsWith('ERR_OSSL') ? message : undefined;
}

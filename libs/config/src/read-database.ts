import { type Reader, secretText } from './environment.js';
import { CHANNEL_BINDINGS, type DatabaseSettings, type Secret, SSL_MODES, type TlsSettings } from './settings.js';

type DatabaseName = 'DB1' | 'DB2';

/** The replica needs one connection for each partition that it applies, and one for each that waits for a lock of another program. */
const POOL_SIZES: Readonly<Record<DatabaseName, number>> = { DB1: 10, DB2: 13 };

/** Whether the environment has settings for the database. */
export function isDatabaseSet(read: Reader, name: DatabaseName): boolean {
  return [`${name}_HOST`, `${name}_URL`, `${name}_URL_FILE`].some((variable) => read.isSet(variable));
}

/** Reads a database's settings, each from the URL or from a variable of its own. */
export function readDatabase(read: Reader, name: DatabaseName): DatabaseSettings {
  const url = readUrl(read, `${name}_URL`);
  const part = (variable: string, fromUrl: string | undefined, fallback?: string): string => {
    if (fromUrl === undefined) return read.text(`${name}_${variable}`, fallback);
    if (read.isSet(`${name}_${variable}`)) read.problems.push(`${name}_${variable} is set, and ${name}_URL has it too. Remove one of them`);
    return fromUrl;
  };
  const host = part('HOST', url?.host);
  const settings = {
    host,
    port: url?.port ?? read.integer(`${name}_PORT`, 5432, 1, 65_535),
    user: part('USER', url?.user),
    password: url?.password ?? read.secret(`${name}_PASSWORD`),
    database: part('DATABASE', url?.database),
    poolSize: read.integer(`${name}_POOL_SIZE`, POOL_SIZES[name], 1, 1_000),
    tls: readTls(read, name, host, (variable, fallback) => part(variable, url?.parameters.get(variable.toLowerCase()), fallback)),
  };
  const direct = name === 'DB1' ? readUrl(read, 'DB1_DIRECT_URL') : undefined;
  return direct ? { ...settings, direct: readDirect(read, settings, direct, url) } : settings;
}

/** Returns the settings of the direct URL. It takes what it leaves out from those of the other connections to DB1. */
function readDirect(read: Reader, settings: DatabaseSettings, direct: ConnectionUrl, url: ConnectionUrl | undefined): DatabaseSettings {
  const tlsOf = (variable: string, fallback: string): string => {
    const parameter = variable.toLowerCase();
    return direct.parameters.get(parameter) ?? url?.parameters.get(parameter) ?? read.text(`DB1_${variable}`, fallback);
  };
  return {
    host: direct.host,
    port: direct.port ?? 5432,
    user: direct.user ?? settings.user,
    password: direct.password ?? settings.password,
    database: direct.database ?? settings.database,
    poolSize: settings.poolSize,
    tls: readTls(read, 'DB1', direct.host, tlsOf),
  };
}

interface ConnectionUrl {
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  readonly database: string | undefined;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Parameters of libpq's URLs that have settings here. */
const PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'channel_binding'];
/** Parameter of the URLs that providers show for their poolers. It has no effect: a pooler is noticed. */
const POOLER_PARAMETER = 'pgbouncer';

/** Reads the variable with a URL, or the file that has it. No problem shows its text: it may have a password. */
function readUrl(read: Reader, variable: 'DB1_URL' | 'DB2_URL' | 'DB1_DIRECT_URL'): ConnectionUrl | undefined {
  if (!read.isSet(variable) && !read.isSet(`${variable}_FILE`)) return undefined;
  const secret = read.secret(variable);
  const url = parseUrl(secret);
  const problem = problemOf(url);
  if (url === undefined || problem !== undefined) {
    read.problems.push(`${variable} ${problem}`);
    return undefined;
  }
  for (const parameter of url.searchParams.keys()) {
    if (PARAMETERS.includes(parameter) || parameter === POOLER_PARAMETER) continue;
    read.problems.push(
      `${variable} has the parameter ${parameter}, which has no meaning here. Those that have are ${PARAMETERS.join(', ')}`,
    );
  }
  const text = (encoded: string): string | undefined => (encoded === '' ? undefined : decodeURIComponent(encoded));
  const passwordOf = ({ password }: URL): string | undefined => text(password);
  return {
    host: decodeURIComponent(url.hostname).replace(/^\[|\]$/g, ''),
    port: url.port === '' ? undefined : Number(url.port),
    user: text(url.username),
    password: typeof secret === 'string' || passwordOf(url) === undefined ? passwordOf(url) : () => passwordOf(new URL(secret())) ?? '',
    database: text(url.pathname.slice(1)),
    parameters: new Map(url.searchParams),
  };
}

function parseUrl(secret: Secret): URL | undefined {
  try {
    return new URL(secretText(secret).trim());
  } catch {
    return undefined;
  }
}

/** Returns what is wrong with a URL, after the name of its variable. */
function problemOf(url: URL | undefined): string | undefined {
  if (!url) return 'must be a URL like postgres://user:password@host:5432/database';
  if (!/^postgres(ql)?:$/.test(url.protocol)) return `must begin with postgres://, and not with ${url.protocol}//`;
  return url.hostname === '' || url.hostname.includes(',') ? 'must name one host' : undefined;
}

/** Reads libpq's settings for TLS. Returns undefined where there is none. */
function readTls(
  read: Reader,
  name: DatabaseName,
  host: string,
  part: (variable: string, fallback: string) => string,
): TlsSettings | undefined {
  const oneOf = <T extends string>(variable: string, allowed: readonly T[], fallback: T): T => {
    const text = part(variable, fallback);
    const value = allowed.find((candidate) => candidate === text);
    if (value === undefined) read.problems.push(`${name}_${variable} must be one of ${allowed.join(', ')}, but is "${text}"`);
    return value ?? fallback;
  };
  const mode = oneOf('SSLMODE', SSL_MODES, 'prefer');
  const channelBinding = oneOf('CHANNEL_BINDING', CHANNEL_BINDINGS, 'disable');
  const file = (variable: string, path = part(variable, '')): (() => string) | undefined =>
    path === '' ? undefined : read.fileAt(`${name}_${variable}`, path);
  const root = part('SSLROOTCERT', '');
  const rootCertificate = root === 'system' ? root : file('SSLROOTCERT', root);
  const [certificate, key] = [file('SSLCERT'), file('SSLKEY')];
  if ((certificate === undefined) !== (key === undefined)) {
    read.problems.push(`${name}_SSLCERT and ${name}_SSLKEY belong together: set both, or none`);
  }
  const verifies = mode === 'verify-ca' || mode === 'verify-full';
  if (verifies && rootCertificate === undefined) {
    read.problems.push(
      `${name}_SSLROOTCERT is required with ${name}_SSLMODE=${mode}: the file with the certificate of the server's CA, or "system" for the public CAs`,
    );
  }
  // As in libpq: anybody can get a certificate of a public CA, for a name of his own.
  if (rootCertificate === 'system' && mode !== 'verify-full') {
    read.problems.push(`${name}_SSLROOTCERT=system requires ${name}_SSLMODE=verify-full`);
  }
  if (mode === 'prefer' && rootCertificate !== undefined && rootCertificate !== 'system') {
    read.problems.push(
      `${name}_SSLROOTCERT has no effect with ${name}_SSLMODE=prefer, which takes a connection without TLS, too. Set verify-full`,
    );
  }
  if (mode === 'disable' || host.startsWith('/')) return undefined;
  return { mode, rootCertificate, certificate, key, channelBinding, variables: name };
}

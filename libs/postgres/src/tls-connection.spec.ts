import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { Reader, type TlsSettings } from '#config';
import { type Address, sharedParts } from '../../../test/harness/addresses.js';
import { CertificateAuthority, writeCertificate } from '../../../test/harness/certificates.js';
import { Parts } from '../../../test/harness/parts.js';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { offerTls, TLS_ROLE } from '../../../test/harness/tls-server.js';
import { transportOf } from './tls-connection.js';

const folder = temporaryFolder('subscription-sync-tls-');
const [authority, other] = [new CertificateAuthority('Test CA'), new CertificateAuthority('Another CA')];
const server = authority.issue(['localhost']);
const [rootFile, wrongRootFile] = [join(folder, 'root.crt'), join(folder, 'wrong.crt')];
const [root, wrongRoot] = [fileOf('SSLROOTCERT', rootFile), fileOf('SSLROOTCERT', wrongRootFile)];
const client = filesOf(writeCertificate(folder, 'client', authority.issue([TLS_ROLE])));
let parts: Parts;

beforeAll(async () => {
  writeFileSync(rootFile, authority.certificate);
  writeFileSync(wrongRootFile, other.certificate);
  parts = await Parts.start(['db1']);
  await offerTls(parts.addresses.db1, server, authority.certificate);
});
afterAll(async () => {
  await parts.close();
  rmSync(folder, { recursive: true });
});

function fileOf(variable: string, path: string): () => string {
  return new Reader({}).fileAt(`DB1_${variable}`, path);
}

function filesOf({ certificate, key }: { certificate: string; key: string }): Pick<TlsSettings, 'certificate' | 'key'> {
  return { certificate: fileOf('SSLCERT', certificate), key: fileOf('SSLKEY', key) };
}

function tls(mode: TlsSettings['mode'], more: Partial<TlsSettings> = {}): TlsSettings {
  return { mode, rootCertificate: undefined, certificate: undefined, key: undefined, channelBinding: 'disable', variables: 'DB1', ...more };
}

/** Connects and returns whether the session is encrypted. */
async function isEncrypted(settings: TlsSettings | undefined, address: Partial<Address> = {}): Promise<boolean> {
  const session = new Client({ ...parts.addresses.db1, host: 'localhost', ...address, database: 'postgres', ...transportOf(settings) });
  try {
    await session.connect();
    const { rows } = await session.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    return rows[0]!.ssl;
  } finally {
    await session.end().catch(() => undefined);
  }
}

const role = { user: TLS_ROLE, password: 'tls' };

test.each<[string, TlsSettings | undefined, Partial<Address>, boolean]>([
  ['disable does not encrypt', undefined, {}, false],
  ['prefer encrypts where the server offers TLS', tls('prefer'), {}, true],
  ['require accepts any certificate', tls('require'), { host: '127.0.0.1' }, true],
  ['verify-ca accepts a certificate for another host', tls('verify-ca', { rootCertificate: root }), { host: '127.0.0.1' }, true],
  ['verify-full accepts a certificate for this host', tls('verify-full', { rootCertificate: root }), {}, true],
  ['the password is bound to the channel', tls('verify-full', { rootCertificate: root, channelBinding: 'require' }), {}, true],
  ['a client certificate is sent', tls('verify-full', { rootCertificate: root, ...client }), role, true],
])('%s', async (_, settings, address, expected) => {
  expect(await isEncrypted(settings, address)).toBe(expected);
});

test('prefer connects to a server without TLS, and require does not', async () => {
  const plain = sharedParts().db1;
  expect(await isEncrypted(tls('prefer'), plain)).toBe(false);
  await expect(isEncrypted(tls('require'), plain)).rejects.toMatchObject({
    code: 'ETLS',
    message: 'TLS: the server does not offer TLS, and DB1_SSLMODE is require: set ssl = on there, or another mode',
  });
});

test.each<[string, TlsSettings | undefined, Partial<Address>, RegExp]>([
  [
    'a CA that did not issue the certificate',
    tls('verify-full', { rootCertificate: wrongRoot }),
    {},
    /^TLS: the server's certificate was not issued by a CA of DB1_SSLROOTCERT: [-a-z ]+$/,
  ],
  [
    'require with a root certificate, which verifies like verify-ca',
    tls('require', { rootCertificate: wrongRoot }),
    {},
    /^TLS: the server's certificate was not issued by a CA of DB1_SSLROOTCERT/,
  ],
  [
    'another host name',
    tls('verify-full', { rootCertificate: root }),
    { host: '127.0.0.1' },
    /^TLS: the server's certificate is for DNS:localhost, and not for 127\.0\.0\.1: connect to one of these names, or set DB1_SSLMODE=verify-ca$/,
  ],
  ['no client certificate', tls('verify-full', { rootCertificate: root }), role, /^connection requires a valid client certificate$/],
  ['no TLS where the server demands it', undefined, role, /^pg_hba\.conf rejects connection for .* no encryption$/],
  [
    'a server that takes the password without channel binding',
    tls('require', { channelBinding: 'require' }),
    { user: 'plain', password: 'plain' },
    /^TLS: the server does not bind the password to the TLS channel, and channel_binding is require: set DB1_CHANNEL_BINDING=prefer$/,
  ],
  [
    'a file that is gone',
    tls('require', { rootCertificate: fileOf('SSLROOTCERT', '/nowhere') }),
    {},
    /^TLS: DB1_SSLROOTCERT: the file \/nowhere cannot be read: ENOENT$/,
  ],
])('%s is one clear line', async (_, settings, address, message) => {
  await expect(isEncrypted(settings, address)).rejects.toThrow(message);
});

test('an expired certificate is one clear line, and its successor is taken', async () => {
  const settings = tls('verify-full', { rootCertificate: root });
  await offerTls(parts.addresses.db1, authority.issue(['localhost'], { expired: true }), authority.certificate);
  await expect(isEncrypted(settings)).rejects.toThrow("TLS: the server's certificate has expired: renew it there");
  await offerTls(parts.addresses.db1, server, authority.certificate);
  expect(await isEncrypted(settings)).toBe(true);
});

test('certificates that are replaced are taken by the next connection', async () => {
  const files = filesOf(writeCertificate(folder, 'rotated', other.issue([TLS_ROLE])));
  const settings = tls('verify-full', { rootCertificate: root, ...files });
  await expect(isEncrypted(settings, role)).rejects.toThrow(
    'TLS: the server refused: tlsv1 alert unknown ca. DB1_SSLCERT and DB1_SSLKEY name the certificate for it',
  );
  writeCertificate(folder, 'rotated', authority.issue([TLS_ROLE]));
  expect(await isEncrypted(settings, role)).toBe(true);
});

test('a server that is not PostgreSQL is named, also when it sends more than an answer', async () => {
  const stranger = createServer((socket) => socket.on('error', () => undefined).write('SSH-2.0\r\n'));
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  const { port } = stranger.address() as { port: number };
  await expect(isEncrypted(tls('prefer'), { host: '127.0.0.1', port })).rejects.toThrow('is it PostgreSQL, and is the port right?');
  stranger.close();
});

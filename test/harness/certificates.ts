import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import forge from 'node-forge';

const DAY_MS = 86_400_000;

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** A CA of a test's own. */
export class CertificateAuthority {
  private readonly own: Certificate;

  constructor(private readonly name: string) {
    const { certificate, keys } = unsigned(name);
    certificate.setIssuer(subject(name));
    certificate.setExtensions([{ name: 'basicConstraints', cA: true, critical: true }]);
    this.own = sign(certificate, keys, keys.key);
  }

  /** The CA's own certificate, as PEM. */
  get certificate(): string {
    return this.own.certificate;
  }

  /** Issues a certificate for host names or addresses; the first one is its common name. An expired one was valid until yesterday. */
  issue(names: readonly string[], { expired = false } = {}): Certificate {
    const { certificate, keys } = unsigned(names[0]!);
    if (expired) certificate.validity.notAfter = new Date(Date.now() - DAY_MS);
    certificate.setIssuer(subject(this.name));
    const altNames = names.map((name) => (isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name }));
    certificate.setExtensions([{ name: 'subjectAltName', altNames }]);
    return sign(certificate, keys, this.own.key);
  }
}

interface Keys {
  readonly public: string;
  readonly key: string;
}

function unsigned(name: string): { certificate: forge.pki.Certificate; keys: Keys } {
  // forge takes seconds to make a key.
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys = {
    public: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(keys.public);
  certificate.serialNumber = `01${randomBytes(8).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - 10 * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + DAY_MS);
  certificate.setSubject(subject(name));
  return { certificate, keys };
}

function subject(name: string): forge.pki.CertificateField[] {
  return [{ name: 'commonName', value: name }];
}

function sign(certificate: forge.pki.Certificate, { key }: Keys, issuerKey: string): Certificate {
  certificate.sign(forge.pki.privateKeyFromPem(issuerKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), key };
}

/** Writes a certificate and its key to files of the folder. @returns their names. */
export function writeCertificate(folder: string, name: string, { certificate, key }: Certificate): { certificate: string; key: string } {
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  writeFileSync(files.certificate, certificate);
  writeFileSync(files.key, key, { mode: 0o600 });
  return files;
}

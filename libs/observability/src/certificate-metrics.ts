import { X509Certificate } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { Gauge, Registry } from 'prom-client';
import { type Settings, SETTINGS, type TlsSettings } from '#config';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/** A setting that names a file with certificates. */
interface CertificateFile {
  readonly setting: string;
  readonly read: () => string;
  /** A file of CAs serves until the last one has expired; a client's certificate only as long as each certificate of its chain. */
  readonly lasts: 'longest' | 'shortest';
}

/**
 * Reports when certificates expire, by the setting that names their file. A file is read at each scrape, as it is for each new connection, so that
 * a certificate which was renewed is seen without a restart.
 */
@Injectable()
export class CertificateMetrics {
  constructor(@Inject(Registry) registry: Registry, @Inject(SETTINGS) settings: Settings) {
    const files = certificateFiles(settings);
    new Gauge({
      name: 'subscription_sync_certificate_expiry_timestamp_seconds',
      help: 'Time (Unix) after which the certificates of the file that the setting names are not valid any more; NaN if it cannot be read',
      labelNames: ['setting'],
      registers: [registry],
      collect() {
        for (const file of files) this.set({ setting: file.setting }, expiryOf(file));
      },
    });
  }
}

/** Returns the files of the settings. Connections that share a setting share its file, unless a URL names another one: the last one counts. */
function certificateFiles({ db1, db2, kafka }: Settings): CertificateFile[] {
  const tls = kafka?.security.tls;
  const found: [string, CertificateFile['lasts'], (() => string) | undefined][] = [
    ...[db1?.tls, db1?.direct?.tls, db2?.tls].flatMap(filesOfDatabase),
    ['KAFKA_SSL_CA', 'longest', tls?.ca],
    ['KAFKA_SSL_CERT', 'shortest', tls?.certificate?.cert],
  ];
  return found.flatMap(([setting, lasts, read]) => (read ? [{ setting, lasts, read }] : []));
}

function filesOfDatabase(tls: TlsSettings | undefined): [string, CertificateFile['lasts'], (() => string) | undefined][] {
  if (!tls) return [];
  return [
    [`${tls.variables}_SSLROOTCERT`, 'longest', tls.rootCertificate === 'system' ? undefined : tls.rootCertificate],
    [`${tls.variables}_SSLCERT`, 'shortest', tls.certificate],
  ];
}

function expiryOf({ read, lasts }: CertificateFile): number {
  try {
    const expiries = (read().match(CERTIFICATE) ?? []).map((pem) => Date.parse(new X509Certificate(pem).validTo) / 1_000);
    if (expiries.length === 0) return Number.NaN;
    return lasts === 'longest' ? Math.max(...expiries) : Math.min(...expiries);
  } catch {
    return Number.NaN;
  }
}

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { readSettings } from '#config';
import { CertificateAuthority, writeCertificate } from '../../../test/harness/certificates.js';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { CertificateMetrics } from './certificate-metrics.js';

const folder = temporaryFolder('subscription-sync-');
afterAll(() => rmSync(folder, { recursive: true }));

const DAY_S = 86_400;
const ca = new CertificateAuthority('ca');
const valid = ca.issue(['ada']);
const expired = ca.issue(['ada'], { expired: true });

/** Returns the days that are left, by the setting. */
async function daysLeft(registry: Registry): Promise<Record<string, number>> {
  const { values } = await registry.getSingleMetric('subscription_sync_certificate_expiry_timestamp_seconds')!.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels['setting'], Math.round((value - Date.now() / 1_000) / DAY_S)]));
}

test('each file has the time at which it stops being useful, and a renewed one has the new time', async () => {
  const { certificate, key } = writeCertificate(folder, 'client', valid);
  const authorities = join(folder, 'ca.crt');
  writeFileSync(authorities, `The old one:\n${expired.certificate}The new one:\n${ca.certificate}`);
  const registry = new Registry();
  const tls = { DB1_SSLMODE: 'verify-full', DB1_SSLROOTCERT: authorities, DB1_SSLCERT: certificate, DB1_SSLKEY: key };
  const db1 = { DB1_HOST: 'db1', DB1_USER: 'ada', DB1_PASSWORD: '', DB1_DATABASE: 'db1' };
  const kafka = { KAFKA_SERVER: 'kafka:9092', KAFKA_SECURITY_PROTOCOL: 'SSL', KAFKA_SSL_CA: authorities };
  new CertificateMetrics(registry, readSettings({ ROLES: 'sync', ...db1, ...tls, ...kafka }));
  expect(await daysLeft(registry)).toEqual({ DB1_SSLROOTCERT: 1, DB1_SSLCERT: 1, KAFKA_SSL_CA: 1 });
  writeFileSync(certificate, valid.certificate + expired.certificate);
  rmSync(authorities);
  expect(await daysLeft(registry)).toEqual({ DB1_SSLROOTCERT: Number.NaN, DB1_SSLCERT: -1, KAFKA_SSL_CA: Number.NaN });
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrokerSecurity } from '../../apps/standalone/src/kafka.js';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { CertificateAuthority } from '../../test/harness/certificates.js';
import { offerTls } from '../../test/harness/tls-server.js';
import { countingProxy } from '../counting-proxy.js';
import { type Servers, withServers } from '../servers.js';
import type { Setting } from './experiment.js';
import type { Stand } from './pipeline.js';

const SHARED_BUFFERS = '512MB';
const NOTHING = { bytes: (): Readonly<Record<string, number>> => ({}), tls: {} };

/** Runs `use` with servers of this kind. */
export const withStand: Readonly<Record<Setting, (use: (stand: Stand) => Promise<void>) => Promise<void>>> = {
  plain: (use) => withServers(SHARED_BUFFERS, (servers, folder) => use({ ...NOTHING, servers, wires: servers, folder })),
  proxied: withProxies,
  tls: withTls,
};

async function withProxies(use: (stand: Stand) => Promise<void>): Promise<void> {
  // Kafka must know the proxy's port before it starts.
  const listenerPort = await pickFreePort();
  const kafkaProxy = await countingProxy(listenerPort);
  try {
    const bench = async (servers: Servers, folder: string): Promise<void> => {
      const [db1, db2, kafka] = servers;
      const proxies = { DB1: await countingProxy(db1.port), Kafka: kafkaProxy, DB2: await countingProxy(db2.port) };
      const wires: Servers = [
        { ...db1, port: proxies.DB1.port },
        { ...db2, port: proxies.DB2.port },
        { ...kafka, server: `127.0.0.1:${kafkaProxy.port}`, port: kafkaProxy.port },
      ];
      const bytes = (): Record<string, number> =>
        Object.fromEntries(
          Object.entries(proxies).flatMap(([name, proxy]) => [
            [`from ${name}`, proxy.bytes()],
            [`to ${name}`, proxy.bytesToServer()],
          ]),
        );
      try {
        await use({ servers, wires, folder, bytes, tls: {} });
      } finally {
        for (const proxy of [proxies.DB1, proxies.DB2]) proxy.close();
      }
    };
    await withServers(SHARED_BUFFERS, bench, undefined, { port: listenerPort, advertisedPort: kafkaProxy.port });
  } finally {
    kafkaProxy.close();
  }
}

async function withTls(use: (stand: Stand) => Promise<void>): Promise<void> {
  const authority = new CertificateAuthority('bench');
  const listener = { port: await pickFreePort(), protocol: 'SSL' };
  await withServers(
    SHARED_BUFFERS,
    async (servers, folder) => {
      for (const database of [servers[0], servers[1]]) await offerTls(database, authority.issue(['localhost']), authority.certificate);
      await use({ ...NOTHING, servers, wires: servers, folder, tls: tlsSettings(join(folder, 'ca.pem'), listener.port) });
    },
    (folder) => Promise.resolve(tlsListener(folder, authority, listener)),
  );
}

/** Returns a listener of Kafka with TLS, and writes the certificate of the CA to `ca.pem`. */
function tlsListener(folder: string, authority: CertificateAuthority, listener: { port: number; protocol: string }): BrokerSecurity {
  const { certificate, key } = authority.issue(['localhost']);
  const store = join(folder, 'broker.pem');
  writeFileSync(store, `${key}${certificate}`, { mode: 0o600 });
  writeFileSync(join(folder, 'ca.pem'), authority.certificate);
  return { listeners: { TLS: listener }, properties: { 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': store }, scramUsers: [] };
}

function tlsSettings(authorityFile: string, kafkaPort: number): Record<string, string> {
  const database = (prefix: string): Record<string, string> => ({
    [`${prefix}_HOST`]: 'localhost',
    [`${prefix}_SSLMODE`]: 'verify-full',
    [`${prefix}_SSLROOTCERT`]: authorityFile,
  });
  return {
    ...database('DB1'),
    ...database('DB2'),
    KAFKA_SERVER: `localhost:${kafkaPort}`,
    KAFKA_SECURITY_PROTOCOL: 'SSL',
    KAFKA_SSL_CA: authorityFile,
  };
}

import { chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { type Address, withServer } from './addresses.js';
import { type Certificate, writeCertificate } from './certificates.js';
import { eventually } from './eventually.js';

/** A role of {@link offerTls} that connects by TLS only, with a certificate that has its name. */
export const TLS_ROLE = 'tls_service';

/** Lets a PostgreSQL server offer TLS, with a certificate of its own, to clients whose certificates a CA has issued. May be called again. */
export async function offerTls(address: Address, own: Certificate, clientAuthority: string): Promise<void> {
  await withServer(address, async (server) => {
    const { rows } = await server.query<{ folder: string }>(`SELECT current_setting('data_directory') AS folder`);
    const { folder } = rows[0]!;
    const { certificate, key } = writeCertificate(folder, 'server', own);
    const authority = join(folder, 'clients.crt');
    writeFileSync(authority, clientAuthority);
    // PostgreSQL refuses a key that another user could read, or that belongs to one.
    const { uid, gid } = statSync(folder);
    for (const file of [certificate, key, authority]) chownSync(file, uid, gid);
    await server.query(`ALTER SYSTEM SET ssl_ca_file = 'clients.crt'`);
    await server.query(`ALTER SYSTEM SET ssl_cert_file = 'server.crt'`);
    await server.query(`ALTER SYSTEM SET ssl_key_file = 'server.key'`);
    await server.query(`ALTER SYSTEM SET ssl = on`);
    await demandTls(server, join(folder, 'pg_hba.conf'));
    const { rows: before } = await server.query<{ loaded: string }>('SELECT pg_conf_load_time()::text AS loaded, pg_reload_conf()');
    await eventually(async () => {
      const { rows: now } = await server.query<{ loaded: string; ssl: string }>(
        `SELECT pg_conf_load_time()::text AS loaded, current_setting('ssl') AS ssl`,
      );
      return now[0]!.loaded !== before[0]!.loaded && now[0]!.ssl === 'on';
    });
  });
}

async function demandTls(server: Client, file: string): Promise<void> {
  const rules = readFileSync(file, 'utf8');
  if (rules.includes(TLS_ROLE)) return;
  writeFileSync(
    file,
    `host all plain all password\nhostssl all,replication ${TLS_ROLE} all scram-sha-256 clientcert=verify-full\nhostnossl all,replication ${TLS_ROLE} all reject\n${rules}`,
  );
  await server.query(`CREATE ROLE ${TLS_ROLE} SUPERUSER LOGIN PASSWORD 'tls'`);
  await server.query(`CREATE ROLE plain LOGIN PASSWORD 'plain'`);
}

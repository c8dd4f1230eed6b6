import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CertificateAuthority, writeCertificate } from '../harness/certificates.js';
import { runCli } from '../harness/command-line.js';
import { expectEqualDatabases } from '../harness/databases.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { offerTls, TLS_ROLE } from '../harness/tls-server.js';
import { World } from '../harness/world.js';

const folder = temporaryFolder('subscription-sync-tls-');
const [root, password] = [join(folder, 'root.crt'), join(folder, 'password')];
const authority = new CertificateAuthority('Test CA');
const client = writeCertificate(folder, 'client', authority.issue([TLS_ROLE]));
let parts: Parts;
let world: World;

beforeAll(async () => {
  writeFileSync(root, authority.certificate);
  writeFileSync(password, 'tls\n');
  parts = await Parts.start(['db1', 'db2']);
  const { db1, db2 } = parts.addresses;
  const server = authority.issue(['localhost']);
  await Promise.all([db1, db2].map((address) => offerTls(address, server, authority.certificate)));
  const settings = {
    HOST: 'localhost',
    USER: TLS_ROLE,
    PASSWORD: '',
    PASSWORD_FILE: password,
    SSLMODE: 'verify-full',
    SSLROOTCERT: root,
    SSLCERT: client.certificate,
    SSLKEY: client.key,
  };
  const env = Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => [
      [`DB1_${name}`, value],
      [`DB2_${name}`, value],
    ]),
  );
  world = await World.create({ capture: 'wal', parts: parts.addresses, env });
  await world.start();
  await world.ready();
});
afterAll(async () => {
  await world.close();
  await parts.close();
  rmSync(folder, { recursive: true });
});

test('the whole road is encrypted where both databases demand it, also for the capture', async () => {
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('ada@example.com', 'active')`);
  await expectEqualDatabases(world);
  const sessions = `SELECT a.application_name AS name, s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = '${TLS_ROLE}'`;
  for (const database of [world.db1, world.db2]) {
    const { rows } = await database.query<{ name: string; ssl: boolean }>(sessions);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter(({ ssl }) => !ssl)).toEqual([]);
  }
  const names = (await world.db1.query<{ name: string }>(sessions)).rows.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['subscription-sync', 'subscription-sync-sync', 'subscription-sync-capture']));
});

test('a password and a certificate that are rotated are taken without a restart', async () => {
  await world.db2.query(`ALTER ROLE ${TLS_ROLE} PASSWORD 'rotated'`);
  await world.db1.query(`ALTER ROLE ${TLS_ROLE} PASSWORD 'rotated'`);
  writeFileSync(password, 'rotated\n');
  writeCertificate(folder, 'client', authority.issue([TLS_ROLE]));
  const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${TLS_ROLE}'`;
  await Promise.all([world.db1.query(others), world.db2.query(others)]);
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('grace@example.com', 'active')`);
  await expectEqualDatabases(world);
});

test('a command connects by a URL as providers give it', async () => {
  const { port } = parts.addresses.db1;
  const parameters = new URLSearchParams({ sslmode: 'verify-full', sslrootcert: root, sslcert: client.certificate, sslkey: client.key });
  const url = `postgres://${TLS_ROLE}:${readFileSync(password, 'utf8').trim()}@localhost:${port}/${world.name}?${parameters.toString()}`;
  const { code, stderr } = await runCli(['keys', 'list'], { PATH: process.env['PATH']!, DB1_URL: url });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

test('a database that does not prove its identity is named in the log and in /health/ready', async () => {
  const impostor = new CertificateAuthority('Test CA').issue(['localhost']);
  await offerTls(parts.addresses.db2, impostor, authority.certificate);
  await world.db2.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${TLS_ROLE}'`);
  await eventually(async () => {
    const report = await (await fetch(`${world.url}/health/ready`)).text();
    return report.includes(`was not issued by a CA of DB2_SSLROOTCERT`);
  });
  await offerTls(parts.addresses.db2, authority.issue(['localhost']), authority.certificate);
  await world.db1.query(`INSERT INTO subscriptions (email, status) VALUES ('joan@example.com', 'active')`);
  await expectEqualDatabases(world);
});

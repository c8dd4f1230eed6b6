import { appendFileSync, chownSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { runCommand } from '../../apps/standalone/src/child-process.js';
import type { Address } from './addresses.js';
import { eventually } from './eventually.js';
import { majorVersion } from './tested-versions.js';

/** Takes a base backup of a running server by PostgreSQL's replication protocol, and sets it up as a streaming standby. */
export async function copyOnline(primary: Address, from: string, to: string): Promise<void> {
  const label = await withClient(primary, async (client) => {
    const backup = await backupFunctions(client);
    await client.query(`SELECT ${backup.start}`);
    // The changes of a file that disappears while it is copied are in the WAL.
    await runCommand('cp', ['-a', from, to]);
    return (await client.query<{ label: string }>(`SELECT labelfile AS label FROM ${backup.stop}`)).rows[0]!.label;
  });
  rmSync(join(to, 'postmaster.pid'), { force: true });
  // Slots stay with their server, as with pg_basebackup.
  for (const slot of readdirSync(join(to, 'pg_replslot'))) rmSync(join(to, 'pg_replslot', slot), { recursive: true });
  const { uid, gid } = statSync(to);
  for (const [name, content] of [
    ['backup_label', label],
    ['standby.signal', ''],
  ] as const) {
    writeFileSync(join(to, name), content);
    chownSync(join(to, name), uid, gid);
  }
  const { host, port, user, password } = primary;
  appendFileSync(join(to, 'postgresql.auto.conf'), `primary_conninfo = 'host=${host} port=${port} user=${user} password=${password}'\n`);
}

/** Returns the calls of the functions that begin and end a base backup. They have other names in version 14. */
async function backupFunctions(client: Client): Promise<{ start: string; stop: string }> {
  return (await majorVersion(client)) >= 15
    ? { start: `pg_backup_start('standby', true)`, stop: 'pg_backup_stop(false)' }
    : { start: `pg_start_backup('standby', true, false)`, stop: 'pg_stop_backup(false)' };
}

/** Resolves when the standby has started streaming. */
export async function isStreaming(primary: Address): Promise<void> {
  await withClient(primary, (client) =>
    eventually(
      async () =>
        (await client.query(`SELECT FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'walreceiver'`)).rowCount ===
        1,
    ),
  );
}

/** Promotes the standby. Resolves when it accepts writes. */
export async function promote(standby: Address): Promise<void> {
  await withClient(standby, async (client) => {
    await client.query('SELECT pg_promote()');
    await eventually(async () => (await client.query<{ f: boolean }>('SELECT NOT pg_is_in_recovery() AS f')).rows[0]!.f);
  });
}

async function withClient<T>(address: Address, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...address, database: 'postgres' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

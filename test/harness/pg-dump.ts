import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { Pool } from 'pg';
import { readEnvironment } from '#config';
import type { Address } from './addresses.js';
import { majorVersion } from './tested-versions.js';

const run = promisify(execFile);

/** Folder in which Debian installs each version of PostgreSQL. */
const DEBIAN = '/usr/lib/postgresql';

/**
 * Returns the output of `pg_dump --schema-only` of a database. If no pg_dump of the server's version or a newer one is installed, says so on
 * stderr and returns undefined: pg_dump refuses servers that are newer than itself, and the npm package of PostgreSQL does not contain it.
 */
export async function dumpSchema(pool: Pool, address: Address, database: string): Promise<string | undefined> {
  const version = await majorVersion(pool);
  const program = await findPgDump(version);
  if (program === undefined) {
    process.stderr.write(`No pg_dump of version ${version} or newer is installed: only the catalogs are compared\n`);
    return undefined;
  }
  const { host, port, user, password } = address;
  const args = ['--schema-only', '--host', host, '--port', String(port), '--username', user, '--dbname', database];
  const { stdout } = await run(program, args, { env: { PGPASSWORD: password }, maxBuffer: 64 * 1024 * 1024 });
  // Newer versions print a random key there.
  return stdout.replaceAll(/^\\(?:un)?restrict .*$/gm, '');
}

async function findPgDump(atLeast: number): Promise<string | undefined> {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, 'bin')) : [];
  const folders = [...debian, ...(readEnvironment()['PATH'] ?? '').split(delimiter)];
  for (const program of folders.map((folder) => join(folder, 'pg_dump')).filter((file) => existsSync(file))) {
    const { stdout } = await run(program, ['--version']);
    if (Number(/\d+/.exec(stdout)?.[0]) >= atLeast) return program;
  }
  return undefined;
}

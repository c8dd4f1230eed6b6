import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Client, Pool } from 'pg';
import { readEnvironment } from '#config';
import { LOCALE_FLAGS, type PostgresPrograms } from '../../apps/standalone/src/postgres.js';

/** The first version of PostgreSQL that has a locale provider of its own. */
const BUILTIN_LOCALES = 17;

/**
 * Returns the PostgreSQL of `TEST_DB1_POSTGRES` or `TEST_DB2_POSTGRES`, the folder of an installation with `bin/initdb` and `bin/postgres`.
 * Undefined if the variable is not set: the tests then use the PostgreSQL of `npm start`.
 */
export function postgresPrograms(database: 'DB1' | 'DB2'): PostgresPrograms | undefined {
  const installation = readEnvironment()[`TEST_${database}_POSTGRES`];
  if (installation === undefined) return undefined;
  const folder = join(installation, 'bin');
  const { stdout } = spawnSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' });
  const version = Number(/\d+/.exec(stdout)?.[0]);
  // Locale C knows the cases of ASCII letters only, and emails have others.
  return { folder, localeFlags: version < BUILTIN_LOCALES ? ['--locale=C.UTF-8'] : LOCALE_FLAGS };
}

/** Returns the version of Kafka in `TEST_KAFKA_VERSION`, which Maven fetches. Undefined if it is not set: that of `npm start`. */
export function kafkaVersion(): string | undefined {
  return readEnvironment()['TEST_KAFKA_VERSION'];
}

/** Returns the major version of the PostgreSQL to which a client is connected. */
export async function majorVersion(client: Client | Pool): Promise<number> {
  const { rows } = await client.query<{ version: number }>(`SELECT current_setting('server_version_num')::int / 10000 AS version`);
  return rows[0]!.version;
}

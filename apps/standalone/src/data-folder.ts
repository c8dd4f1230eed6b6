import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readPidFile, writePidFile } from './pid-file.js';
import { StandaloneError } from './standalone.error.js';

/**
 * Makes the folder when missing and takes it for this process. A lock whose process is gone, however it ended, doesn't count.
 * @returns what gives it back.
 * @throws StandaloneError when another process has it.
 */
export function takeDataFolder(dataDir: string): () => void {
  const lock = join(dataDir, 'standalone.pid');
  mkdirSync(dataDir, { recursive: true });
  const [owner] = readPidFile(lock);
  if (owner === undefined) rmSync(lock, { force: true });
  try {
    writePidFile(lock, [process.pid], { exclusive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const who = owner === undefined ? 'another process' : `process ${owner}`;
    throw new StandaloneError(
      `${dataDir} is in use by ${who}, a second "npm start"? Stop that one, or set STANDALONE_DATA_DIR, PORT, DB1_PORT, DB2_PORT and STANDALONE_KAFKA_PORT to others.`,
    );
  }
  return () => rmSync(lock, { force: true });
}

import { chmodSync, existsSync, mkdtempSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Folder of files in memory. Each database consists of 300 files, whose creation on a disk takes a third of the processor time of a test that has one. */
const MEMORY = '/dev/shm';
/** Free memory (bytes) from which it is used. All tests together need less than half of it. */
const MIN_FREE = 6 * 1024 ** 3;

/** Creates an empty folder that the user of PostgreSQL can enter, in memory where there is room. */
export function temporaryFolder(prefix: string): string {
  const folder = mkdtempSync(join(hasRoom(MEMORY) ? MEMORY : tmpdir(), prefix));
  chmodSync(folder, 0o755);
  return folder;
}

function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize > MIN_FREE;
}

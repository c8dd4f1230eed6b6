import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Folder of the programs that .ci/chart-tools.sh fetches. It outlives a checkout. */
export const TOOLS = process.env.KUBERNETES_TOOLS ?? join(homedir(), '.cache/subscription-sync/kubernetes');
process.env.PATH = [process.env.PATH, TOOLS].join(delimiter);

/** Returns those of the programs that are neither in the PATH nor in the folder of tools. */
export function missingPrograms(programs) {
  return programs.filter((program) => spawnSync('which', [program], { stdio: 'ignore' }).status !== 0);
}

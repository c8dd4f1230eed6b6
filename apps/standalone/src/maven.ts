import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { runCommand } from './child-process.js';

interface FetchOptions {
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Why Maven fetched nothing, in its words. It has no reason when there is no working Maven. */
interface MavenFailure {
  readonly reason: string | undefined;
}

/**
 * Lets Maven copy the jars that a pom depends on to `folder`, which appears complete or not at all, so that concurrent calls do not disturb each
 * other. Resolves with the failure, if there is one.
 */
export async function fetchJars(
  pom: string,
  folder: string,
  further: readonly string[],
  { onLine, signal }: FetchOptions = {},
): Promise<MavenFailure | undefined> {
  const workDir = `${folder}.${process.pid}.new`;
  mkdirSync(dirname(folder), { recursive: true });
  const args = ['--batch-mode', '--file', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${workDir}`];
  try {
    const { code, lines } = await runCommand('mvn', [...args, ...further], { ...(onLine && { onLine }), signal });
    if (code !== 0) return { reason: lines.find((line) => line.includes('[ERROR]'))?.replace(/^.*?\[ERROR\]\s*/, '') };
    moveInto(folder, workDir);
    return undefined;
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

/** Moves the jars to their folder, unless another process has done so meanwhile: its jars are the same. */
function moveInto(folder: string, workDir: string): void {
  try {
    renameSync(workDir, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

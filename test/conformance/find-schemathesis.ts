import { join } from 'node:path';
import { runCommand } from '../../apps/standalone/src/child-process.js';

const VERSION = '4.32.5';

/** Command and environment that start Schemathesis. */
export interface Schemathesis {
  readonly command: string;
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Returns an installed Schemathesis 4, or installs it from PyPI into `folder`.
 * @throws Error with the reason why it cannot be installed.
 */
export async function findSchemathesis(folder: string): Promise<Schemathesis> {
  const installed = await runCommand('schemathesis', ['--version']);
  if (installed.code === 0 && /\b4\.\d+\.\d+/.test(installed.lines.join(' '))) return { command: 'schemathesis', environment: {} };
  const target = join(folder, 'packages');
  // Without a virtual environment, and without compiling modules that are never imported: these took longer than the rest of the installation.
  const options = ['--quiet', '--disable-pip-version-check', '--no-compile', '--retries', '1', '--target', target];
  await must('python3', ['-m', 'pip', 'install', ...options, `schemathesis==${VERSION}`]);
  return { command: join(target, 'bin', 'schemathesis'), environment: { PYTHONPATH: target } };
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, lines } = await runCommand(command, args);
  if (code === 0) return;
  const why = code === undefined ? 'it was not found' : lines.slice(-3).join(' ');
  throw new Error(`Schemathesis can't be installed: ${command} ${args.slice(0, 3).join(' ')}: ${why}`);
}

import { join } from 'node:path';
import { runCommand } from '../../apps/standalone/src/run-command.js';

const VERSION = '4.32.5';

/**
 * The command of an installed Schemathesis 4, or of one that is installed into `folder` from PyPI.
 * @throws Error saying why there is none.
 */
export async function findSchemathesis(folder: string): Promise<string> {
  const installed = await runCommand('schemathesis', ['--version']);
  if (installed.code === 0 && /\b4\.\d+\.\d+/.test(installed.lines.join(' '))) return 'schemathesis';
  const venv = join(folder, 'venv');
  await must('python3', ['-m', 'venv', venv]);
  await must(join(venv, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '--retries', '1', `schemathesis==${VERSION}`]);
  return join(venv, 'bin', 'schemathesis');
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, lines } = await runCommand(command, args);
  if (code === 0) return;
  const why = code === undefined ? 'it was not found' : lines.slice(-3).join(' ');
  throw new Error(`Schemathesis can't be installed: ${command.split('/').at(-1)!} ${args.slice(0, 2).join(' ')}: ${why}`);
}

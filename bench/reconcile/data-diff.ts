import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Dependencies of data-diff. Its `[postgresql]` extra no longer builds. */
const PACKAGES = ['attrs', 'dsnparse', 'packaging', 'psycopg2-binary', 'requests', 'rich', 'tabulate', 'toml', 'typing_extensions'];

/** Runs data-diff 0.11 on both databases. Returns undefined if Python or a package is not available. */
export async function dataDiff(folder: string, urls: readonly [string, string]): Promise<{ seconds: number; found: number } | undefined> {
  const python = join(folder, 'python', 'bin', 'python');
  try {
    await run('python3', ['-m', 'venv', join(folder, 'python')]);
    await run(python, ['-m', 'pip', 'install', '-q', '--no-deps', 'data-diff==0.11.2']);
    await run(python, ['-m', 'pip', 'install', '-q', ...PACKAGES]);
  } catch (error) {
    console.log(`data-diff is skipped: ${(error as Error).message.split('\n')[0]}`);
    return undefined;
  }
  const { stdout } = await run(python, [join('bench', 'reconcile', 'data_diff_peer.py'), ...urls]);
  const [seconds, found] = stdout.trim().split(' ').map(Number);
  return { seconds: seconds!, found: found! };
}

import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { readEnvironment } from '#config';

export interface ConformanceRun {
  readonly exitCode: number | null;
  readonly requests: number;
}

/** Where the configuration and the hooks are, from the repository's root. */
const FOLDER = 'test/conformance';

/** All checks in all phases, by the document that the server at `url` serves. `examples`: test cases for each operation while fuzzing. */
export async function runSchemathesis(
  command: string,
  target: {
    readonly url: string;
    readonly key: string;
    readonly keyId: string;
    readonly feedCursor: string;
    readonly examples: number;
    /** For what Hypothesis writes down. */
    readonly folder: string;
  },
): Promise<ConformanceRun> {
  const { url, key, keyId, feedCursor, examples, folder } = target;
  const args = ['--config-file', 'schemathesis.toml', 'run', `${url}/docs-json`, '--no-color', '--checks', 'all'];
  const child = spawn(command, [...args, '--max-examples', String(examples), '--header', `Authorization: Bearer ${key}`], {
    cwd: FOLDER,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...readEnvironment(),
      OWN_KEY_ID: keyId,
      FEED_CURSOR: feedCursor,
      HYPOTHESIS_STORAGE_DIRECTORY: folder,
      PYTHONDONTWRITEBYTECODE: '1',
    },
  });
  let requests = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    requests = Number(/^\s*(\d+) generated/.exec(line)?.[1] ?? requests);
    console.log(line);
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, requests };
}

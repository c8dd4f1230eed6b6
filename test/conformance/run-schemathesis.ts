import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readEnvironment } from '#config';
import type { Schemathesis } from './find-schemathesis.js';

/** The server that Schemathesis tests, and the values that it needs. */
export interface Subject {
  readonly url: string;
  readonly key: string;
  readonly keyId: string;
  readonly feedCursor: string;
  /** Folder for the files of Hypothesis and Python. */
  readonly folder: string;
}

export interface ConformanceRun {
  /** No check failed and no error occurred. The exit code of Schemathesis reports only the failures. */
  readonly passed: boolean;
  readonly requests: number;
  /** Number of chains of requests. */
  readonly scenarios: number;
}

/** Folder of the configuration and the hooks, relative to the root of the repository. */
const FOLDER = 'test/conformance';

/** Runs all checks against the document that the server serves. `options` choose the phases and their size. */
export async function runSchemathesis(
  { command, environment }: Schemathesis,
  subject: Subject,
  options: readonly string[],
): Promise<ConformanceRun> {
  const { url, key, keyId, feedCursor, folder } = subject;
  const args = ['--config-file', 'schemathesis.toml', 'run', `${url}/docs-json`, '--no-color', '--checks', 'all'];
  const child = spawn(command, [...args, '--header', `Authorization: Bearer ${key}`, ...options], {
    cwd: FOLDER,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...readEnvironment(),
      ...environment,
      OWN_KEY_ID: keyId,
      FEED_CURSOR: feedCursor,
      HYPOTHESIS_STORAGE_DIRECTORY: folder,
      PYTHONPYCACHEPREFIX: join(folder, 'compiled'),
    },
  });
  let errors = 0;
  let requests = 0;
  let scenarios = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const counts = /^\s*(\d+) generated(?:.* (\d+) errored)?/.exec(line);
    if (counts) [requests, errors] = [Number(counts[1]), Number(counts[2] ?? 0)];
    scenarios = Number(/^\s*Scenarios:\s+(\d+)/.exec(line)?.[1] ?? scenarios);
    console.log(line);
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { passed: exitCode === 0 && errors === 0, requests, scenarios };
}

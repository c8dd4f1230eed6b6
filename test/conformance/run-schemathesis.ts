import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readEnvironment } from '#config';
import type { Schemathesis } from './find-schemathesis.js';

/** What Schemathesis tests, and with what. */
export interface Subject {
  readonly url: string;
  readonly key: string;
  readonly keyId: string;
  readonly feedCursor: string;
  /** For what Hypothesis and Python write down. */
  readonly folder: string;
}

export interface ConformanceRun {
  /** Nothing failed, and nothing ended in an error: Schemathesis' exit code says the former alone. */
  readonly passed: boolean;
  readonly requests: number;
  /** Chains of requests. */
  readonly scenarios: number;
}

/** Where the configuration and the hooks are, from the repository's root. */
const FOLDER = 'test/conformance';

/** All checks, by the document that the server serves. `options` say which phases, and how much of them. */
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

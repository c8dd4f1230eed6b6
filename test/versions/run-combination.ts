import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { packageRoot } from '../../apps/standalone/src/child-process.js';
import { fetchKafka, fetchNode, fetchPostgres } from './fetch-servers.js';
import type { Combination } from './matrix.js';

/** Numbers of tests of a run, and its duration. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
}

/**
 * Runs the specs of a combination with Jest, whose output goes to this process's. A run that ends without a result, or without a test, has failed.
 * @throws FetchError when a server or Node cannot be had.
 */
export async function runCombination({ db1, db2, kafka, node, specs }: Combination): Promise<Outcome> {
  const environment = { ...process.env };
  if (db1 !== undefined) environment['TEST_DB1_POSTGRES'] = await fetchPostgres(db1);
  if (db2 !== undefined) environment['TEST_DB2_POSTGRES'] = await fetchPostgres(db2);
  if (kafka !== undefined) environment['TEST_KAFKA_VERSION'] = await fetchKafka(kafka);
  const program = node === undefined ? process.execPath : await fetchNode(node);
  // Commands that a spec starts by the name `node` have the same version.
  environment['PATH'] = `${dirname(program)}${delimiter}${environment['PATH'] ?? ''}`;

  const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-versions-'));
  const started = performance.now();
  try {
    const file = join(folder, 'result.json');
    const args = ['node_modules/jest/bin/jest.js', '--json', '--outputFile', file, '--runTestsByPath', ...specs];
    // Jest prints the result to its standard output too.
    const jest = spawn(program, args, { cwd: packageRoot(), env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
    const [code] = (await once(jest, 'exit')) as [number | null];
    return { ...countsOf(file, code === 0), seconds: Math.round((performance.now() - started) / 1_000) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function countsOf(file: string, succeeded: boolean): Pick<Outcome, 'passed' | 'failed'> {
  if (!existsSync(file)) return { passed: 0, failed: 1 };
  const result = JSON.parse(readFileSync(file, 'utf8')) as Record<
    'numPassedTests' | 'numFailedTests' | 'numRuntimeErrorTestSuites',
    number
  >;
  const passed = result.numPassedTests;
  const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
  return { passed, failed: failed === 0 && (!succeeded || passed === 0) ? 1 : failed };
}

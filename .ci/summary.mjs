/**
 * `node summary.mjs <jest's JSON result> <jest's exit code> <JSON result of the tests with other versions> <the nemesis' JSON result> <other
 * failures>` prints `N passed, N failed`, with `, N skipped` if any. Exits with 1 when anything failed or nothing passed.
 */
import { readFileSync } from 'node:fs';

const [jestFile, jestStatus, versionsFile, nemesisFile, otherFailures] = process.argv.slice(2);

/** Counts of a result file. A file that is missing or cannot be read is one failure. */
function countsOf(what, file, count) {
  try {
    return count(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    console.log(`No result from ${what}: ${error.message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const jest = countsOf('the tests', jestFile, (result) => ({
  passed: result.numPassedTests,
  // A suite that could not be run has no tests to count, and is a failure.
  failed: result.numFailedTests + result.numRuntimeErrorTestSuites,
  skipped: result.numPendingTests + result.numTodoTests,
}));
// The harness failed around the tests (a leaked worker, the teardown), or no test ran.
if (jest.failed === 0 && (jestStatus !== '0' || jest.passed === 0)) jest.failed = 1;
const versions = countsOf('the tests with other versions', versionsFile, (result) => result);
const nemesis = countsOf('the nemesis', nemesisFile, ({ passed, failed }) => ({ passed, failed }));

const passed = jest.passed + versions.passed + nemesis.passed;
const failed = jest.failed + versions.failed + nemesis.failed + Number(otherFailures);
const skipped = jest.skipped + versions.skipped;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/**
 * `node summary.mjs <jest's JSON result> <jest's exit code> <other failures>` prints `N passed, N failed`, with `, N skipped` if any.
 * Exits 1 when anything failed or nothing passed.
 */
import { readFileSync } from 'node:fs';

const [file, testsStatus, otherFailures] = process.argv.slice(2);

function readCounts() {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8'));
    return {
      passed: result.numPassedTests,
      // A suite that could not be run has no tests to count, and is no success.
      failed: result.numFailedTests + result.numRuntimeErrorTestSuites,
      skipped: result.numPendingTests + result.numTodoTests,
    };
  } catch (error) {
    console.log(`No result from the tests: ${error.message}`);
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

const counts = readCounts();
// A harness that fails around the tests (a leaked worker, a teardown), or no test at all.
if (counts.failed === 0 && (testsStatus !== '0' || counts.passed === 0)) counts.failed = 1;
counts.failed += Number(otherFailures);
console.log(`${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`);
process.exitCode = counts.failed > 0 ? 1 : 0;

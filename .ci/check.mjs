/**
 * Runs every static check and names those that failed; `npm run check -- lint types` runs only these.
 * All of them run even if one fails. The exit code is the number of failed checks.
 */
import { spawnSync } from 'node:child_process';

/** npm scripts, the quick ones first. */
const CHECKS = ['format:check', 'boundaries', 'dead-code', 'compose', 'types', 'lint'];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !CHECKS.includes(name));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(', ')}. There are ${CHECKS.join(', ')}.`);
  process.exit(1);
}

const failed = [];
for (const name of asked.length > 0 ? asked : CHECKS) {
  console.log(`── ${name}`);
  const started = performance.now();
  const { status, error } = spawnSync('npm', ['run', '--silent', name], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) console.error(error.message);
  if (status !== 0) failed.push(name);
  console.log(`   ${status === 0 ? 'ok' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

console.log(failed.length === 0 ? 'All checks passed' : `Failed checks: ${failed.join(', ')}`);
process.exitCode = failed.length;

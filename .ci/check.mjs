/**
 * Runs the static checks, two at a time, and names those that failed. `npm run check -- lint types` runs only these two.
 * All of them run even if one fails. The exit code is the number of failed checks.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** npm scripts, the slowest first. */
const CHECKS = ['lint', 'types', 'format:check', 'boundaries', 'dead-code', 'compose', 'supply-chain'];
const CONCURRENCY = 2;

const requested = process.argv.slice(2);
const unknown = requested.filter((name) => !CHECKS.includes(name));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(', ')}. There are ${CHECKS.join(', ')}.`);
  process.exit(1);
}

const waiting = requested.length > 0 ? requested : [...CHECKS];
const failed = [];
await Promise.all(Array.from({ length: CONCURRENCY }, work));
console.log(failed.length === 0 ? 'All checks passed' : `Failed checks: ${failed.join(', ')}`);
process.exitCode = failed.length;

async function work() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const started = performance.now();
    const check = spawn('npm', ['run', '--silent', name], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [check.stdout, check.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
    const [status] = await once(check, 'close');
    if (status !== 0) failed.push(name);
    console.log(`── ${name}\n${output}   ${status === 0 ? 'ok' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
}

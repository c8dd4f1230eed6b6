/**
 * Asks the registry for known vulnerabilities of the packages that production needs. The exit code is 1 when one is high or critical. A registry
 * that does not answer, as without a network, is reported and is no failure: the change that is checked is not to blame.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** Time (ms) for the registry's answer. */
const TIMEOUT_MS = 120_000;
const SEVERE = ['high', 'critical'];

const npm = spawn('npm', ['audit', '--omit=dev', '--json', '--fetch-retries=0', `--fetch-timeout=${TIMEOUT_MS / 2}`], {
  stdio: ['ignore', 'pipe', 'pipe'],
  timeout: TIMEOUT_MS,
});
const [answer, complaint] = await Promise.all([text(npm.stdout), text(npm.stderr), once(npm, 'close')]);
const report = parsed(answer);

if (report?.vulnerabilities) {
  const severe = Object.values(report.vulnerabilities).filter(({ severity }) => SEVERE.includes(severity));
  for (const { name, severity, range, via } of severe) console.error(`${name} ${range} (${severity}): ${via.map(title).join(', ')}`);
  console.log(
    `Vulnerable packages of production: ${Object.keys(report.vulnerabilities).length}, of which high or critical: ${severe.length}`,
  );
  process.exitCode = severe.length > 0 ? 1 : 0;
} else {
  const reason = report?.message ?? report?.error?.summary ?? complaint.trim().split('\n')[0];
  console.log(`NOT CHECKED for vulnerabilities: the registry did not answer (${reason || 'no reason given'})`);
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** A vulnerability, or the name of the vulnerable package because of which this one is. */
function title(via) {
  return typeof via === 'string' ? via : `${via.title} ${via.url}`;
}

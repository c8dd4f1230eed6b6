/**
 * Checks the Helm chart: `npm run test:chart`. Lints and renders it with each file of tests/values, and runs its unit tests.
 * It needs `helm` and `helm-unittest` in the PATH (docs/contributing.md says how to build them), and says so where one is missing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const CHART = 'deploy/helm/subscription-sync';
const VALUES = `${CHART}/tests/values`;
/** The version of Kubernetes for which objects are rendered. */
const KUBERNETES = '1.34.0';

const missing = ['helm', 'helm-unittest'].filter((program) => spawnSync(program, ['--help']).error !== undefined);
if (missing.length > 0) {
  console.log(`NOT CHECKED: the Helm chart, because these programs are not installed: ${missing.join(', ')}`);
} else {
  for (const file of readdirSync(VALUES)) {
    const values = ['--values', `${VALUES}/${file}`, '--kube-version', KUBERNETES];
    execFileSync('helm', ['lint', CHART, '--strict', ...values], { stdio: ['ignore', 'ignore', 'inherit'] });
    const rendered = execFileSync('helm', ['template', 'release', CHART, ...values], { encoding: 'utf8' });
    console.log(`${file}: ${rendered.match(/^kind: /gm).length} objects`);
  }
  execFileSync('helm-unittest', [CHART], { stdio: 'inherit' });
}

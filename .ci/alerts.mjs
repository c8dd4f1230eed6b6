/**
 * Checks what Prometheus gets: `npm run test:alerts`. Runs the tests of the alert rules (deploy/helm/subscription-sync/tests/rules), and checks
 * the configuration of docker/compose.yaml with the same rules. It needs `promtool` in the PATH (docs/contributing.md says where it is), and says
 * so where it is missing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const RULES = 'deploy/helm/subscription-sync/files/alerts.yaml';
const TESTS = 'deploy/helm/subscription-sync/tests/rules';
const CONFIGURATION = 'docker/monitoring/prometheus.yaml';

const promtool = (...options) => execFileSync('promtool', options, { stdio: 'inherit' });

if (spawnSync('promtool', ['--version']).error !== undefined) {
  console.log('NOT CHECKED: the alert rules, because promtool is not installed');
} else {
  promtool('test', 'rules', ...readdirSync(TESTS).map((file) => join(TESTS, file)));
  // The configuration names the rules as the container has them: beside itself.
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
  try {
    for (const [file, name] of [
      [RULES, 'alerts.yaml'],
      [CONFIGURATION, 'prometheus.yaml'],
    ]) {
      copyFileSync(file, join(folder, name));
    }
    promtool('check', 'config', '--lint=all', '--lint-fatal', join(folder, 'prometheus.yaml'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Checks the Helm chart: `npm run test:chart`. Its README and the kustomize base are up to date (`-- --write` writes them), it passes
 * `helm lint`, everything that it renders has the schema of Kubernetes, and its unit tests pass.
 * .ci/chart-tools.sh fetches the programs. What needs one that is missing is not checked, which is said.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kustomizeBase, objectsIn, withValuesTable } from './chart-documents.mjs';
import { missingPrograms, TOOLS } from './kubernetes-programs.mjs';
import { schemaErrors } from './kubernetes-schemas.mjs';

const CHART = 'deploy/helm/subscription-sync';
const VALUES = `${CHART}/tests/values`;
const README = `${CHART}/README.md`;
const KUSTOMIZE = 'deploy/kustomize';
const BASE = `${KUSTOMIZE}/base`;
/** The version of Kubernetes for which objects are rendered, and whose schemas they must have. */
const KUBERNETES = '1.34.0';
const SCHEMAS = join(TOOLS, 'schemas', `v${KUBERNETES}-local-strict`);

const writes = process.argv.includes('--write');
const flaws = [];
const notChecked = [];
const missing = new Set(missingPrograms(['helm', 'helm-unittest', 'kubectl']));
const checksSchemas = existsSync(SCHEMAS);
if (!checksSchemas) notChecked.push('schemas of Kubernetes');

compare({ [README]: withValuesTable(readFileSync(README, 'utf8'), readFileSync(`${CHART}/values.yaml`, 'utf8')) });

if (missing.has('helm')) {
  notChecked.push('helm');
} else {
  for (const file of readdirSync(VALUES)) {
    const values = ['--values', `${VALUES}/${file}`, '--kube-version', KUBERNETES];
    execFileSync('helm', ['lint', CHART, '--strict', ...values], { stdio: ['ignore', 'ignore', 'inherit'] });
    checkObjects(file, run('helm', ['template', 'release', CHART, ...values]));
  }
  const values = ['--values', `${KUSTOMIZE}/values.yaml`, '--kube-version', KUBERNETES];
  const base = kustomizeBase(run('helm', ['template', 'subscription-sync', CHART, ...values]));
  compare(Object.fromEntries(Object.entries(base).map(([name, text]) => [`${BASE}/${name}`, text])), BASE);
}

if (missing.has('kubectl')) {
  notChecked.push('kubectl (kustomize)');
} else {
  const overlays = readdirSync(`${KUSTOMIZE}/overlays`).map((name) => `${KUSTOMIZE}/overlays/${name}`);
  for (const folder of [BASE, ...overlays]) checkObjects(folder, run('kubectl', ['kustomize', folder]));
}

if (missing.has('helm-unittest')) notChecked.push('helm-unittest');
else if (!missing.has('helm')) execFileSync('helm-unittest', [CHART], { stdio: 'inherit' });

for (const flaw of flaws) console.error(flaw);
if (notChecked.length > 0) console.log(`NOT CHECKED, because these are missing (.ci/chart-tools.sh): ${notChecked.join(', ')}`);
process.exitCode = flaws.length > 0 ? 1 : 0;

function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
}

/** Compares generated files with those that are committed, or writes them. A folder has no other files. */
function compare(generated, folder) {
  const others = folder !== undefined && existsSync(folder) ? readdirSync(folder).map((name) => `${folder}/${name}`) : [];
  const surplus = others.filter((path) => generated[path] === undefined);
  if (writes) {
    for (const path of surplus) rmSync(path);
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
    for (const [path, text] of Object.entries(generated)) writeFileSync(path, text);
    return;
  }
  const outdated = Object.entries(generated).filter(([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text);
  for (const path of [...outdated.map(([path]) => path), ...surplus]) {
    flaws.push(`${path} is not what the chart renders: run \`npm run test:chart -- --write\` and commit what it writes`);
  }
}

function checkObjects(title, rendered) {
  const objects = objectsIn(rendered);
  if (checksSchemas) {
    const { errors, unknown } = schemaErrors(objects, SCHEMAS);
    flaws.push(...errors.map((error) => `${title}: ${error}`));
    console.log(`${title}: ${objects.length} objects${unknown.length > 0 ? `, of which without a schema: ${unknown.join(', ')}` : ''}`);
  } else {
    console.log(`${title}: ${objects.length} objects`);
  }
}

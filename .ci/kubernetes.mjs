/**
 * Tries the Helm chart and the kustomize base on a Kubernetes API server: `npm run test:kubernetes`. With each set of values the server accepts
 * all objects and pods in a namespace that enforces the Pod Security Standard `restricted`, and the release is installed, upgraded, rolled back
 * and uninstalled. The controllers and the scheduler of Kubernetes are there; no container runs (.ci/kubernetes-cluster.mjs). Deliberate mistakes
 * have to be refused. .ci/kubernetes-tools.sh fetches and builds the programs.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { objectsIn } from './chart-documents.mjs';
import { Cluster, CLUSTER_PROGRAMS, DEFINITIONS, STAGES } from './kubernetes-cluster.mjs';
import { missingPrograms } from './kubernetes-programs.mjs';
import { podsOf, ReleaseTest, renderRelease } from './kubernetes-release.mjs';
import { refuseViolations } from './kubernetes-violations.mjs';

const VALUES = 'deploy/helm/subscription-sync/tests/values';
const KUSTOMIZE = 'deploy/kustomize';
/** Documents with objects that readers copy. */
const EXAMPLES = ['deploy/helm/subscription-sync/README.md', 'docs/operating/deploying.md'];
/** A cluster has classes of its own. tests/values/everything.yaml names this one. */
const PRIORITY_CLASS = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 };

const missing = [...missingPrograms(CLUSTER_PROGRAMS), ...[DEFINITIONS, STAGES].filter((folder) => !existsSync(folder))];
if (missing.length > 0) {
  console.error(`Missing: ${missing.join(', ')}. Fetch and build them: .ci/kubernetes-tools.sh`);
  process.exit(1);
}

const started = performance.now();
const cluster = new Cluster();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void cluster.stop().then(() => process.exit(1)));
let failures = 0;
try {
  await test('start of the cluster', async () => {
    await cluster.start();
    await cluster.apply([PRIORITY_CLASS]);
    return (await cluster.kubectl(['version'])).trim().split('\n').at(-1);
  });
  if (failures === 0) {
    await Promise.all([
      ...readdirSync(VALUES).map((name) => test(`${VALUES}/${name}`, () => testValues(`${VALUES}/${name}`))),
      test(`${KUSTOMIZE}/values.yaml`, () => testValues(`${KUSTOMIZE}/values.yaml`)),
      ...[`${KUSTOMIZE}/base`, ...readdirSync(`${KUSTOMIZE}/overlays`).map((name) => `${KUSTOMIZE}/overlays/${name}`)].map((folder) =>
        test(folder, () => testKustomization(folder)),
      ),
      test('examples in documents', testExamples),
      test('deliberate mistakes', testViolations),
    ]);
  }
} finally {
  await cluster.stop();
}
const result = failures === 0 ? 'Everything passed' : `Failed tests: ${failures}`;
console.log(`${result}, in ${secondsSince(started)} s. The server accepted ${cluster.accepted} objects`);
process.exitCode = failures > 0 ? 1 : 0;

/** Runs a test, prints what it returns or throws, and how long it took. */
async function test(title, run) {
  const begun = performance.now();
  try {
    console.log(`ok      ${title}: ${await run()} (${secondsSince(begun)} s)`);
  } catch (error) {
    failures += 1;
    console.error(`FAILED  ${title} (${secondsSince(begun)} s)\n${error.message}`);
  }
}

async function testValues(file) {
  const { objects, pods } = await new ReleaseTest(cluster, namespaceOf(file), file).run();
  return `${objects} objects and ${pods} pods accepted; installed, upgraded, rolled back and uninstalled`;
}

/** Applies a folder to a namespace, its own if it has one, until the migrations have completed and all pods are ready, and deletes it again. */
async function testKustomization(folder) {
  const objects = objectsIn(await cluster.kubectl(['kustomize', folder]));
  const own = objects.find(({ kind }) => kind === 'Namespace');
  const namespace = own?.metadata.name ?? namespaceOf(folder);
  await cluster.createNamespace(namespace, own);
  await cluster.dryRun(objects, namespace);
  await cluster.kubectl(['apply', '--kustomize', folder, '--namespace', namespace]);
  for (const { kind, metadata } of objects) {
    if (kind === 'Deployment') await cluster.waitForRollout(metadata.name, namespace);
    if (kind === 'Job') await cluster.waitFor('condition=Complete', [`job/${metadata.name}`, '--namespace', namespace]);
  }
  const pods = podsOf(objects);
  await cluster.dryRun(pods, namespace);
  await cluster.kubectl(['delete', '--kustomize', folder, '--namespace', namespace, '--timeout=60s']);
  return `${objects.length} objects and ${pods.length} pods accepted; applied and deleted`;
}

/** Sends the objects in documents that a reader copies. */
async function testExamples() {
  const blocks = EXAMPLES.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^( *)```yaml\n(.*?)^\1```/gms)].map(([, , text]) => text),
  );
  const objects = blocks.filter((text) => /^ *apiVersion:/m.test(text)).flatMap(objectsIn);
  if (objects.length === 0) throw new Error(`No example in ${EXAMPLES.join(', ')}`);
  await cluster.createNamespace('examples');
  await cluster.dryRun(objects, 'examples');
  return `${objects.length} objects accepted`;
}

async function testViolations() {
  const namespace = 'violations';
  await cluster.createNamespace(namespace);
  const objects = await renderRelease(cluster, namespace, `${VALUES}/everything.yaml`);
  // Pods need it.
  await cluster.apply(
    objects.filter(({ kind }) => kind === 'ServiceAccount'),
    ['--namespace', namespace],
  );
  return `${await refuseViolations(cluster, namespace, objects)} refused, each with its reason`;
}

function namespaceOf(path) {
  return path.replaceAll(/[^a-z0-9]+/g, '-').slice(-60);
}

function secondsSince(time) {
  return ((performance.now() - time) / 1000).toFixed(1);
}

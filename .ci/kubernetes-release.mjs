import { objectsIn } from './chart-documents.mjs';
import { BROKEN_IMAGE, expectRefusal } from './kubernetes-cluster.mjs';

const CHART = 'deploy/helm/subscription-sync';
const RELEASE = 'release';
/** Changes the template of all pods, and nothing else. */
const CHANGED = ['--set', 'settings.SHUTDOWN_DELAY_MS=4000'];
const BROKEN = ['--set', `image.repository=${BROKEN_IMAGE.repository},image.tag=${BROKEN_IMAGE.tag},image.digest=`];
/** Time (s) after which a migration, and an upgrade to pods that never become ready, are given up. */
const GIVE_UP_S = 5;

/** Returns the objects of the chart, hooks included, as `helm install --dry-run=server` renders them. */
export async function renderRelease(cluster, namespace, valuesFile) {
  const options = ['--dry-run=server', '--output=json', '--namespace', namespace, '--values', valuesFile];
  const { manifest, hooks } = JSON.parse(await cluster.helm(['install', RELEASE, CHART, ...options]));
  return [manifest, ...(hooks ?? []).map((hook) => hook.manifest)].flatMap(objectsIn);
}

/** Returns each pod template of the objects as a Pod: Pod Security refuses pods, and not the objects that make them. */
export function podsOf(objects) {
  return objects
    .filter(({ spec }) => spec?.template?.spec?.containers !== undefined)
    .map(({ metadata: { name }, spec: { template } }) => ({
      ...{ apiVersion: 'v1', kind: 'Pod' },
      metadata: { ...template.metadata, name },
      spec: template.spec,
    }));
}

/**
 * Installs the chart, upgrades it, rolls it back and uninstalls it, in a namespace of its own, and checks after each step what the controllers
 * have made of the objects.
 */
export class ReleaseTest {
  #cluster;
  #namespace;
  #values;
  #objects;
  #isHook;
  #revision = 0;
  #completedMigrations = 0;

  constructor(cluster, namespace, valuesFile) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#values = valuesFile;
  }

  /** Returns how many objects and pods the server has accepted. */
  async run() {
    await this.#cluster.createNamespace(this.#namespace);
    const before = await this.#cluster.namesIn(this.#namespace);
    this.#objects = await renderRelease(this.#cluster, this.#namespace, this.#values);
    this.#isHook = this.#ofKind('Job').some(({ metadata }) => metadata.annotations?.['helm.sh/hook'] !== undefined);
    await this.#cluster.dryRun(this.#objects, this.#namespace);

    await this.#helm('install', [CHART, '--wait', '--values', this.#values]);
    await this.#playKeda();
    await this.#checkMigrations();
    await this.#checkPods();
    await this.#checkServices();
    await this.#checkDisruptionBudgets();
    await this.#checkReferences();
    // They need the ServiceAccount of the release.
    const pods = podsOf(this.#objects);
    await this.#cluster.dryRun(pods, this.#namespace);
    const installed = await this.#templates();

    if (this.#isHook) {
      await this.#failMigration();
      await this.#expectTemplates('A migration that fails replaces no pod', installed);
    }
    await this.#upgrade(CHANGED);
    const upgraded = await this.#templates();
    await this.#expectNewTemplates('An upgrade that changes a setting replaces the pods', installed);
    await this.#upgrade(CHANGED);
    await this.#expectTemplates('An upgrade without a change replaces no pod', upgraded);
    await this.#failRollout();
    await this.#helm('rollback', ['--wait']);
    await this.#checkPods();
    await this.#expectTemplates('A rollback brings back the pods of the revision before', upgraded);

    await this.#helm('uninstall', ['--wait']);
    await this.#cluster.waitUntil(`uninstalling leaves nothing behind in ${this.#namespace}`, async () => {
      const left = (await this.#cluster.namesIn(this.#namespace)).filter((name) => !before.includes(name));
      if (left.length > 0) throw new Error(left.join(', '));
      return true;
    });
    return { objects: this.#objects.length, pods: pods.length };
  }

  async #upgrade(changes) {
    await this.#helm('upgrade', [CHART, '--wait', '--values', this.#values, ...changes]);
    await this.#checkMigrations();
    await this.#checkPods();
  }

  /** Upgrades to a migration that never starts. Helm gives up when its Job has failed. */
  async #failMigration() {
    const options = ['--values', this.#values, ...BROKEN, '--set', `migrations.activeDeadlineSeconds=${GIVE_UP_S}`];
    await expectRefusal('a migration that fails', () => this.#helm('upgrade', [CHART, ...options]), /pre-upgrade hooks failed/);
  }

  /** Upgrades to pods that never become ready. All pods of the revision before stay. */
  async #failRollout() {
    const templates = await this.#templates();
    const expected = await this.#readyPods();
    const options = ['--wait', `--timeout=${GIVE_UP_S}s`, '--values', this.#values, ...BROKEN, '--set', 'migrations.enabled=false'];
    await expectRefusal('a rollout that never ends', () => this.#helm('upgrade', [CHART, ...options]), /not ready|deadline exceeded/);
    await this.#expectNewTemplates('A rollout that never ends begins', templates);
    const left = await this.#readyPods();
    if (`${left}` !== `${expected}`) throw new Error(`A rollout that never ends leaves the pods ${left} instead of ${expected}`);
  }

  /** Each revision has migrated once. Of a hook nothing is left; a plain Job stays with its revision. */
  async #checkMigrations() {
    this.#completedMigrations += 1;
    await this.#cluster.waitUntil(`${this.#completedMigrations} migrations have completed in ${this.#namespace}`, async () => {
      const events = await this.#cluster.list('events', this.#namespace);
      const completed = events.filter(({ reason, involvedObject }) => reason === 'Completed' && involvedObject.kind === 'Job');
      return new Set(completed.map(({ involvedObject }) => involvedObject.uid)).size === this.#completedMigrations;
    });
    const jobs = (await this.#cluster.list('jobs', this.#namespace)).map(({ metadata }) => metadata.name);
    const left = this.#isHook ? [] : [`${RELEASE}-subscription-sync-migrate-${this.#revision}`];
    if (`${jobs}` !== `${left}`) throw new Error(`Jobs in ${this.#namespace}: ${jobs} instead of ${left}`);
  }

  /** The operator is not there: scales what it would scale, to another number than that of a Deployment without an autoscaler. */
  async #playKeda() {
    for (const { spec } of this.#ofKind('ScaledObject')) {
      const options = [`deployment/${spec.scaleTargetRef.name}`, `--replicas=${spec.maxReplicaCount}`, '--namespace', this.#namespace];
      await this.#cluster.kubectl(['scale', ...options]);
    }
  }

  /** Each Deployment gets the pods that it or its autoscaler wants, all ready and of its newest template, and the others end. */
  async #checkPods() {
    for (const deployment of this.#ofKind('Deployment')) {
      const { name } = deployment.metadata;
      await this.#cluster.waitForRollout(name, this.#namespace);
      const wanted = this.#replicasOf(deployment);
      await this.#cluster.waitUntil(
        `${name} in ${this.#namespace} has ${wanted} ready pods of its newest template and no others`,
        async () => {
          const hash = await this.#newestTemplate(deployment);
          const pods = await this.#list('pods', deployment.spec.selector.matchLabels);
          const right = pods.filter((pod) => isReady(pod) && pod.metadata.labels['pod-template-hash'] === hash);
          return right.length === wanted && pods.length === wanted;
        },
      );
    }
  }

  /** The Service of the API has the pods of the Deployment that serves it; the one for metrics has all pods. */
  async #checkServices() {
    const deployments = this.#ofKind('Deployment');
    for (const { metadata } of this.#ofKind('Service')) {
      const served = metadata.name.endsWith('-metrics')
        ? deployments
        : deployments.filter(({ metadata: { name } }) => /-(?:api|single)$/.test(name));
      const wanted = served.map((deployment) => this.#replicasOf(deployment)).reduce((sum, count) => sum + count, 0);
      await this.#cluster.waitUntil(`${metadata.name} in ${this.#namespace} has ${wanted} addresses with port 3000`, async () => {
        const slices = await this.#list('endpointslices', { 'kubernetes.io/service-name': metadata.name });
        const addresses = slices
          .filter(({ ports }) => ports?.some(({ port }) => port === 3000))
          .flatMap(({ endpoints }) => endpoints ?? [])
          .filter(({ conditions }) => conditions.ready);
        return addresses.length === wanted;
      });
    }
  }

  /** Each budget counts the pods of its Deployment, and allows one of them to be evicted. */
  async #checkDisruptionBudgets() {
    for (const { metadata, spec } of this.#ofKind('PodDisruptionBudget')) {
      const deployment = this.#ofKind('Deployment').find(({ metadata: { name } }) => name === metadata.name);
      await this.#cluster.waitUntil(`the budget ${metadata.name} in ${this.#namespace} counts the pods of its Deployment`, async () => {
        const budgets = await this.#cluster.list('poddisruptionbudgets', this.#namespace);
        const { status } = budgets.find((budget) => budget.metadata.name === metadata.name);
        return status.expectedPods === this.#replicasOf(deployment) && status.disruptionsAllowed === spec.maxUnavailable;
      });
    }
  }

  /** Prometheus finds one Service with the port that it reads, the network policy is about all pods, and routes lead to the API. */
  async #checkReferences() {
    for (const { spec } of this.#ofKind('ServiceMonitor')) {
      const services = await this.#list('services', spec.selector.matchLabels);
      const ports = services.flatMap((service) => service.spec.ports.map(({ name }) => name));
      if (`${ports}` !== `${spec.endpoints.map(({ port }) => port)}`)
        throw new Error(`The ServiceMonitor finds ${services.length} Services, with ports ${ports}`);
    }
    for (const { spec } of this.#ofKind('NetworkPolicy')) {
      const [selected, all] = [await this.#list('pods', spec.podSelector.matchLabels), await this.#list('pods', {})];
      if (selected.length !== all.length) throw new Error(`The network policy is about ${selected.length} of ${all.length} pods`);
    }
    const backends = [
      ...this.#ofKind('Ingress').flatMap(({ spec }) => spec.rules.flatMap(({ http }) => http.paths.map(({ backend }) => backend.service))),
      ...this.#ofKind('HTTPRoute').flatMap(({ spec }) => spec.rules.flatMap(({ backendRefs }) => backendRefs)),
    ];
    for (const { name, port } of backends) {
      const number = port.number ?? port;
      const service = this.#ofKind('Service').find(
        ({ metadata, spec }) => metadata.name === name && spec.ports.some(({ port }) => port === number),
      );
      if (service === undefined || name.endsWith('-metrics')) throw new Error(`A route leads to ${name}:${number}, which is not the API`);
    }
  }

  #replicasOf({ metadata: { name }, spec }) {
    const autoscaler = [...this.#ofKind('HorizontalPodAutoscaler'), ...this.#ofKind('ScaledObject')].find(
      ({ spec: { scaleTargetRef } }) => scaleTargetRef.name === name,
    );
    return autoscaler?.spec.minReplicas ?? autoscaler?.spec.maxReplicaCount ?? spec.replicas;
  }

  /** Hash of the newest template of each Deployment. */
  async #templates() {
    const entries = this.#ofKind('Deployment').map(async (deployment) => [
      deployment.metadata.name,
      await this.#newestTemplate(deployment),
    ]);
    return Object.fromEntries(await Promise.all(entries));
  }

  async #expectTemplates(title, expected) {
    const actual = await this.#templates();
    if (JSON.stringify(actual) !== JSON.stringify(expected)) {
      throw new Error(`${title}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
    }
  }

  async #expectNewTemplates(title, before) {
    const same = Object.entries(await this.#templates()).filter(([name, hash]) => hash === before[name]);
    if (same.length > 0) throw new Error(`${title}, but not of ${same.map(([name]) => name)}`);
  }

  async #newestTemplate({ spec }) {
    const revisionOf = ({ metadata }) => Number(metadata.annotations['deployment.kubernetes.io/revision']);
    const sets = await this.#list('replicasets', spec.selector.matchLabels);
    return sets.toSorted((a, b) => revisionOf(b) - revisionOf(a))[0].metadata.labels['pod-template-hash'];
  }

  async #readyPods() {
    return (await this.#cluster.list('pods', this.#namespace)).filter(isReady).map(({ metadata }) => metadata.name);
  }

  async #list(kind, labels) {
    const selector = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
    return this.#cluster.list(kind, this.#namespace, selector.join(','));
  }

  #ofKind(kind) {
    return this.#objects.filter((object) => object.kind === kind);
  }

  async #helm(command, options) {
    if (command !== 'uninstall') this.#revision += 1;
    await this.#cluster.helm([command, RELEASE, ...options, '--namespace', this.#namespace]);
  }
}

function isReady({ metadata, status }) {
  // kwok leaves the pods of Jobs ready when they have completed.
  return (
    metadata.deletionTimestamp === undefined &&
    status.phase === 'Running' &&
    status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
  );
}

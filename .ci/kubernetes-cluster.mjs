import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { TOOLS } from './kubernetes-programs.mjs';

/** Programs of a cluster. */
export const CLUSTER_PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kwok', 'kubectl', 'helm'];
/** Folder of the definitions of the operators' objects, and of kwok's stages. .ci/kubernetes-tools.sh fetches both. */
export const DEFINITIONS = join(TOOLS, 'definitions');
export const STAGES = join(TOOLS, 'stages');
/** Image whose pods never become ready. */
export const BROKEN_IMAGE = { repository: 'never-starts', tag: 'none' };
/** Zones of the nodes. */
const ZONES = ['zone-a', 'zone-b'];
/** Limit (ms) of a wait. */
const TIMEOUT_MS = 120_000;
/** Limit (ms) of one command, which may be a wait. */
const COMMAND_TIMEOUT_MS = 2 * TIMEOUT_MS;
const POLL_INTERVAL_MS = 100;
/** Time (ms) that a process has for ending before it is killed. */
const END_WITHIN_MS = 5_000;

/**
 * A Kubernetes cluster of processes on this machine: etcd, the API server, the controllers and the scheduler. kwok plays two nodes: it runs no
 * container, and says that pods are ready, and that those of Jobs have completed, except pods with the broken image.
 */
export class Cluster {
  /** Number of objects that the server has accepted in dry runs. */
  accepted = 0;
  #folder = mkdtempSync(join(tmpdir(), 'kubernetes-'));
  #processes = [];
  #environment = {
    ...process.env,
    // The versions that .ci/kubernetes-tools.sh has fetched come before others.
    PATH: [TOOLS, process.env.PATH].join(delimiter),
    HOME: this.#folder,
    KUBECONFIG: join(this.#folder, 'kubeconfig'),
  };

  /** Starts the processes and defines the operators' objects. Returns when the nodes are ready. */
  async start() {
    const [etcdPort, peerPort, port] = await freePorts(3);
    const [server, etcd, peer] = [`https://127.0.0.1:${port}`, `http://127.0.0.1:${etcdPort}`, `http://127.0.0.1:${peerPort}`];
    const file = (name, text) => {
      const path = join(this.#folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const token = randomUUID();
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const accountKey = file('account.key', privateKey);
    const kubeconfig = file('kubeconfig', kubeconfigOf(server, token));

    this.#spawn('etcd', [
      `--data-dir=${join(this.#folder, 'etcd')}`,
      ...[`--listen-client-urls=${etcd}`, `--advertise-client-urls=${etcd}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=default=${peer}`],
      '--unsafe-no-fsync',
    ]);
    this.#spawn('kube-apiserver', [
      `--etcd-servers=${etcd}`,
      ...['--bind-address=127.0.0.1', `--secure-port=${port}`, `--cert-dir=${join(this.#folder, 'certificates')}`],
      ...['--authorization-mode=RBAC', `--token-auth-file=${file('tokens.csv', `${token},admin,admin,system:masters\n`)}`],
      ...['--service-account-issuer=https://kubernetes.default.svc', `--service-account-signing-key-file=${accountKey}`],
      `--service-account-key-file=${file('account.pub', publicKey)}`,
      // Clients fall back to lists at once. With it they first try what etcd 3.4 lacks, again and again.
      '--feature-gates=WatchList=false',
      '--service-cluster-ip-range=10.96.0.0/16',
      // Pod Security refuses privileged pods, as in other clusters, and not the server's own default.
      '--allow-privileged=true',
      // Nothing connects to the server through the Service `kubernetes`, which cannot have a loopback address.
      '--endpoint-reconciler-type=none',
    ]);
    await this.waitUntil('the API server is ready', async () => (await this.kubectl(['get', '--raw=/readyz'])) === 'ok');
    await this.kubectl(['create', '--filename', DEFINITIONS]);
    await this.waitFor('condition=Established', ['crd', '--all']);
    // The garbage collector looks for new kinds only every 30 s, so the controllers start when all are there.
    this.#spawn('kube-controller-manager', [
      ...[`--kubeconfig=${kubeconfig}`, `--service-account-private-key-file=${accountKey}`],
      ...['--leader-elect=false', '--secure-port=0', '--horizontal-pod-autoscaler-sync-period=1s'],
      // No kubelet renews a lease, and the nodes are not to be taken for lost.
      '--node-monitor-grace-period=24h',
    ]);
    this.#spawn('kube-scheduler', [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0']);
    const stages = file('stages.yaml', readStages());
    this.#spawn('kwok', [`--kubeconfig=${kubeconfig}`, `--config=${stages}`, '--manage-all-nodes', '--node-port=0']);
    await this.apply(ZONES.map(nodeIn));
    await this.waitFor('condition=Ready', ['nodes', '--all']);
  }

  /** Ends the processes, the last first, and removes the folder. */
  async stop() {
    for (const child of this.#processes.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill();
      await Promise.race([ended, delay(END_WITHIN_MS, undefined, { ref: false })]);
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Creates a namespace, by default one that refuses pods below the Pod Security Standard `restricted`. */
  async createNamespace(name, namespace = restrictedNamespace(name)) {
    await this.apply([namespace]);
    // Controllers put these into each namespace.
    for (const object of ['serviceaccount/default', 'configmap/kube-root-ca.crt']) {
      await this.waitFor('create', [object, '--namespace', name]);
    }
  }

  async apply(objects, options = []) {
    const input = objects.map((object) => JSON.stringify(object)).join('\n');
    return this.kubectl(['apply', '--validate=strict', '--filename=-', ...options], input);
  }

  /** Sends objects to the server, which stores nothing. Fails if it refuses one, or warns. */
  async dryRun(objects, namespace) {
    await this.apply(objects, ['--dry-run=server', '--warnings-as-errors', '--namespace', namespace]);
    this.accepted += objects.length;
  }

  /** Lists objects as the server has them. */
  async list(kind, namespace, selector = '') {
    return JSON.parse(await this.kubectl(['get', kind, '--namespace', namespace, '--selector', selector, '--output=json'])).items;
  }

  /** Returns the names of all objects in a namespace, with their kinds. */
  async namesIn(namespace) {
    const kinds = (await this.kubectl(['api-resources', '--verbs=list', '--namespaced', '--output=name'])).trim().split('\n');
    // Events are about objects, and outlive them.
    const listed = kinds.filter((kind) => !/^events(?:\.|$)/.test(kind)).join(',');
    return (await this.kubectl(['get', listed, '--namespace', namespace, '--output=name'])).trim().split('\n').toSorted();
  }

  async kubectl(args, input) {
    return this.#run('kubectl', args, input);
  }

  async helm(args) {
    return this.#run('helm', args);
  }

  async waitFor(event, objects) {
    await this.kubectl(['wait', `--for=${event}`, `--timeout=${TIMEOUT_MS}ms`, ...objects]);
  }

  /** Waits until the pods of a Deployment are those of its newest template. */
  async waitForRollout(name, namespace) {
    await this.kubectl(['rollout', 'status', `deployment/${name}`, `--timeout=${TIMEOUT_MS}ms`, '--namespace', namespace]);
  }

  /** Polls until the condition holds. Fails after the deadline with what the condition threw, or at once if a process has ended. */
  async waitUntil(title, condition) {
    const deadline = performance.now() + TIMEOUT_MS;
    let problem = '';
    while (performance.now() < deadline) {
      this.#checkProcesses();
      try {
        if (await condition()) return;
        problem = '';
      } catch (error) {
        problem = `: ${error.message}`;
      }
      await delay(POLL_INTERVAL_MS);
    }
    throw new Error(`Not within ${TIMEOUT_MS / 1000} s: ${title}${problem}`);
  }

  #spawn(program, args) {
    const log = openSync(this.#logOf(program), 'w');
    this.#processes.push(spawn(program, args, { env: this.#environment, stdio: ['ignore', log, log] }));
  }

  #checkProcesses() {
    const ended = this.#processes.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
    if (ended === undefined) return;
    const lines = readFileSync(this.#logOf(ended.spawnfile), 'utf8').trim().split('\n');
    throw new Error(`${ended.spawnfile} has ended:\n${lines.slice(-10).join('\n')}`);
  }

  #logOf(program) {
    return join(this.#folder, `${program}.log`);
  }

  async #run(program, args, input = '') {
    const running = promisify(execFile)(program, args, { env: this.#environment, maxBuffer: 2 ** 26, timeout: COMMAND_TIMEOUT_MS });
    running.child.stdin.end(input);
    try {
      return (await running).stdout;
    } catch (error) {
      this.#checkProcesses();
      throw error;
    }
  }
}

/** Fails unless the action fails, with the reason in its message. */
export async function expectRefusal(title, action, reason) {
  const message = await action().then(
    () => undefined,
    (error) => error.message,
  );
  if (message === undefined) throw new Error(`Not refused: ${title}`);
  if (!reason.test(message)) throw new Error(`Refused for another reason than ${reason}: ${title}\n${message}`);
}

function restrictedNamespace(name) {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/warn': 'restricted' };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function kubeconfigOf(server, token) {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    // The server makes its certificate anew for each run.
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  });
}

/** Returns kwok's stages, of which none makes a pod with the broken image ready. */
function readStages() {
  const stages = readdirSync(STAGES).map((name) => parse(readFileSync(join(STAGES, name), 'utf8')));
  const values = [`${BROKEN_IMAGE.repository}:${BROKEN_IMAGE.tag}`];
  const ready = stages.find(({ metadata }) => metadata.name === 'pod-ready');
  ready.spec.selector.matchExpressions.push({ key: '.spec.containers.[].image', operator: 'NotIn', values });
  return stages.map((stage) => stringify(stage)).join('---\n');
}

function nodeIn(zone) {
  const name = `node-${zone}`;
  const labels = { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'topology.kubernetes.io/zone': zone };
  const capacity = { cpu: '32', memory: '64Gi', pods: '200' };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status: { capacity, allocatable: capacity } };
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';

const CHART = 'deploy/helm/subscription-sync';
const RELEASE = 'rollout';
/** Version of Kubernetes for which objects are rendered, as in .ci/chart.mjs. */
const KUBERNETES = '1.34.0';

/** A probe of the kubelet by HTTP. Times are in seconds. */
export interface Probe {
  readonly httpGet: { readonly path: string };
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  readonly failureThreshold: number;
}

/** A projected source of a volume: keys of a Secret or a ConfigMap, and the files that they become. */
interface ProjectedSource {
  readonly name: string;
  readonly items: readonly { readonly key: string; readonly path: string }[];
}

export interface Container {
  readonly name: string;
  /** If undefined, the image's own. */
  readonly command?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly resources: { readonly limits: { readonly memory: string } };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

export interface PodTemplate {
  readonly spec: {
    readonly containers: readonly [Container];
    readonly terminationGracePeriodSeconds?: number;
    readonly volumes?: readonly {
      readonly name: string;
      readonly projected: { readonly sources: readonly { readonly secret?: ProjectedSource; readonly configMap?: ProjectedSource }[] };
    }[];
  };
}

export interface DeploymentObject {
  readonly kind: 'Deployment';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly replicas: number;
    readonly strategy: { readonly rollingUpdate: { readonly maxSurge: number; readonly maxUnavailable: number } };
    readonly template: PodTemplate;
  };
}

/** The rendered objects that a rollout needs. */
export interface Rendered {
  readonly deployments: readonly DeploymentObject[];
  readonly migrations: PodTemplate;
}

/** The command and the environment of a container that starts from the image, as docker/Dockerfile has them. */
export interface Image {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export function isHelmMissing(): boolean {
  return spawnSync('helm', ['version']).error !== undefined;
}

/** Renders the chart with `values`, as the upgrade to `revision` does. */
export function renderChart(values: object, revision: number): Rendered {
  const upgrade = revision > 1 ? ['--is-upgrade'] : [];
  const text = execFileSync('helm', ['template', RELEASE, CHART, '--values', '-', '--kube-version', KUBERNETES, ...upgrade], {
    input: JSON.stringify(values),
    encoding: 'utf8',
  });
  const objects = parseAllDocuments(text).map((document) => document.toJS() as { kind: string; spec: { template: PodTemplate } });
  return {
    deployments: objects.filter(({ kind }) => kind === 'Deployment') as unknown as DeploymentObject[],
    migrations: objects.find(({ kind }) => kind === 'Job')!.spec.template,
  };
}

/** Reads the command and the environment of the last stage of docker/Dockerfile. */
export function readImage(): Image {
  const stage = readFileSync('docker/Dockerfile', 'utf8')
    .split(/^FROM /m)
    .at(-1)!;
  const environment = /^ENV (.*)$/m
    .exec(stage)![1]!
    .split(' ')
    .map((pair) => pair.split('=') as [string, string]);
  return {
    command: JSON.parse(/^CMD (.*)$/m.exec(stage)![1]!) as string[],
    environment: Object.fromEntries(environment),
  };
}

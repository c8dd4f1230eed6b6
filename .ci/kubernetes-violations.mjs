import { expectRefusal } from './kubernetes-cluster.mjs';
import { podsOf } from './kubernetes-release.mjs';

/** Each changes the first object of its kind, which the server then refuses with the reason. Pods are those of the templates. */
const VIOLATIONS = [
  {
    kind: 'Pod',
    title: 'a privileged container',
    change: ({ spec }) => Object.assign(spec.containers[0].securityContext, { privileged: true, allowPrivilegeEscalation: true }),
    reason: /violates PodSecurity "restricted:latest": privileged \(/,
  },
  {
    kind: 'Pod',
    title: 'a root user',
    change: ({ spec }) => (spec.securityContext.runAsUser = 0),
    reason: /violates PodSecurity "restricted:latest": runAsUser=0/,
  },
  {
    kind: 'Pod',
    title: 'a container that keeps capabilities',
    change: ({ spec }) => delete spec.containers[0].securityContext.capabilities,
    reason: /violates PodSecurity "restricted:latest": unrestricted capabilities/,
  },
  {
    kind: 'Deployment',
    title: 'a privileged container, of which the server only warns',
    change: ({ spec }) =>
      Object.assign(spec.template.spec.containers[0].securityContext, { privileged: true, allowPrivilegeEscalation: true }),
    reason: /would violate PodSecurity "restricted:latest": privileged \(/,
  },
  {
    kind: 'Deployment',
    title: 'an unknown field',
    change: ({ spec }) => (spec.template.spec.containers[0].readynessProbe = {}),
    reason: /unknown field "spec\.template\.spec\.containers\[0\]\.readynessProbe"/,
  },
  {
    kind: 'Deployment',
    title: 'a selector of other pods',
    change: ({ spec }) => (spec.selector.matchLabels['app.kubernetes.io/component'] = 'other'),
    reason: /`selector` does not match template `labels`/,
  },
  {
    kind: 'Job',
    title: 'a restart policy that Jobs do not have',
    change: ({ spec }) => (spec.template.spec.restartPolicy = 'Always'),
    reason: /spec\.template\.spec\.restartPolicy: Required value: valid values: "OnFailure", "Never"/,
  },
  {
    kind: 'HorizontalPodAutoscaler',
    title: 'fewer pods at most than at least',
    change: ({ spec }) => (spec.maxReplicas = spec.minReplicas - 1),
    reason: /must be greater than or equal to `minReplicas`/,
  },
  {
    kind: 'PodDisruptionBudget',
    title: 'a negative number of pods',
    change: ({ spec }) => (spec.maxUnavailable = -1),
    reason: /spec\.maxUnavailable: .*must be greater than or equal to 0/,
  },
  {
    kind: 'NetworkPolicy',
    title: 'a port that does not exist',
    change: ({ spec }) => (spec.egress[0].ports[0].port = 65536),
    reason: /spec\.egress\[0\]\.ports\[0\]\.port: .*65535/,
  },
  {
    kind: 'ScaledObject',
    title: 'a misspelt field',
    change: ({ spec }) => (spec.minReplicasCount = 2),
    reason: /unknown field "spec\.minReplicasCount"/,
  },
  {
    kind: 'ScaledObject',
    title: 'no trigger',
    change: ({ spec }) => delete spec.triggers,
    reason: /spec\.triggers: Required value/,
  },
  {
    kind: 'ServiceMonitor',
    title: 'a misspelt field',
    change: ({ spec }) => (spec.endpoints[0].intervall = '15s'),
    reason: /unknown field "spec\.endpoints\[0\]\.intervall"/,
  },
  {
    kind: 'ServiceMonitor',
    title: 'an interval without a unit',
    change: ({ spec }) => (spec.endpoints[0].interval = '15'),
    reason: /spec\.endpoints\[0\]\.interval.* should match/,
  },
  {
    kind: 'PrometheusRule',
    title: 'a time that is not one',
    change: ({ spec }) => (spec.groups[0].rules[0].for = 'a minute'),
    reason: /spec\.groups\[0\]\.rules\[0\]\.for.* should match/,
  },
  {
    kind: 'HTTPRoute',
    title: 'a misspelt field',
    change: ({ spec }) => (spec.parentRef = spec.parentRefs),
    reason: /unknown field "spec\.parentRef"/,
  },
  {
    kind: 'HTTPRoute',
    title: 'a port that does not exist',
    change: ({ spec }) => (spec.rules[0].backendRefs[0].port = 0),
    reason: /spec\.rules\[0\]\.backendRefs\[0\]\.port.* should be greater than or equal to 1/,
  },
];

/** Makes deliberate mistakes in objects that the server accepts, each of which it then has to refuse with its reason. Returns how many. */
export async function refuseViolations(cluster, namespace, objects) {
  const all = [...podsOf(objects), ...objects];
  await cluster.dryRun(all, namespace);
  for (const { kind, title, change, reason } of VIOLATIONS) {
    const object = structuredClone(all.find((candidate) => candidate.kind === kind));
    change(object);
    await expectRefusal(`${kind} with ${title}`, () => cluster.dryRun([object], namespace), reason);
  }
  return VIOLATIONS.length;
}

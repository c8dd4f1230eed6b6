import type { DeploymentObject, Image } from './chart.js';
import { Pod, type Secrets } from './pod.js';
import type { Timeline } from './timeline.js';

/**
 * A Deployment whose controller replaces pods by a rolling update: a pod more than wanted is started, and an old one ends when a new one is ready.
 * The chart allows no other numbers than a surge of 1 and 0 unavailable pods, and others are refused.
 */
export class Deployment {
  /** Pods that have not ended. */
  pods: Pod[] = [];
  readonly ended: Pod[] = [];
  /** Lowest number of ready pods since {@link resetLowest}. */
  lowestReady = 0;
  private started = 0;

  constructor(
    private object: DeploymentObject,
    private readonly image: Image,
    private readonly secrets: Secrets,
    private readonly timeline: Timeline,
  ) {}

  get name(): string {
    return this.object.metadata.labels['app.kubernetes.io/component']!;
  }

  get wanted(): number {
    return this.object.spec.replicas;
  }

  /** The pods that are ready and not about to end. */
  get readyPods(): Pod[] {
    return this.pods.filter(({ ready, terminating }) => ready && !terminating);
  }

  /** Starts all pods. Resolves when they are ready. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.wanted }, () => this.startPod()));
    this.lowestReady = this.readyPods.length;
  }

  /** Takes its object from those of a new revision, and replaces the pods if their template has changed. @returns whether it has. */
  async apply(objects: readonly DeploymentObject[]): Promise<boolean> {
    const object = objects.find(({ metadata }) => metadata.name === this.object.metadata.name)!;
    const isChanged = JSON.stringify(object.spec.template) !== JSON.stringify(this.object.spec.template);
    this.object = object;
    if (!isChanged) return false;
    const { maxSurge, maxUnavailable } = object.spec.strategy.rollingUpdate;
    if (maxSurge !== 1 || maxUnavailable !== 0)
      throw new Error(`A rolling update of ${maxSurge} and ${maxUnavailable} pods is not built here`);
    this.resetLowest();
    const endings: Promise<void>[] = [];
    for (const old of [...this.pods]) {
      await this.startPod();
      endings.push(this.end(old));
    }
    await Promise.all(endings);
    return true;
  }

  /** Ends all pods. */
  async stop(): Promise<void> {
    await Promise.all(this.pods.map((pod) => this.end(pod)));
  }

  resetLowest(): void {
    this.lowestReady = this.readyPods.length;
  }

  sample(): void {
    this.lowestReady = Math.min(this.lowestReady, this.readyPods.length);
    for (const pod of this.pods) pod.inspect();
  }

  private async startPod(): Promise<void> {
    this.started += 1;
    const pod = await Pod.start(`${this.name}-${this.started}`, this.object.spec.template, this.image, this.secrets, this.timeline);
    this.pods.push(pod);
    await pod.probe();
  }

  private async end(pod: Pod): Promise<void> {
    await pod.terminate();
    this.pods = this.pods.filter((other) => other !== pod);
    this.ended.push(pod);
  }
}

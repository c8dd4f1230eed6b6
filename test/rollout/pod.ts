import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import type { Image, PodTemplate, Probe } from './chart.js';
import type { Timeline } from './timeline.js';

/** By default of Kubernetes (s). */
const GRACE_PERIOD_S = 30;
/** Kernel's flags of a file that is open for writing: O_WRONLY and O_RDWR. */
const WRITABLE = 0o3;

/** Values of Secrets and ConfigMaps by name and key. */
export type Secrets = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** All running processes. None may outlive the program. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * A pod of one container as a local process: the container's command, environment, files, probes and grace period are those of the rendered chart.
 * Its port and the folder of its mounted files differ, because local processes share a network and a disk.
 */
export class Pod {
  /** Whether the pod's readiness probe succeeds, so that its Service sends connections to it. */
  ready = false;
  terminating = false;
  /** Exit code of the process, once it has ended. */
  exitCode: number | null | undefined;
  /** Peak of the process's memory (bytes). */
  peakMemory = 0;
  /** Regular files that the process had open for writing. The root file system of the container is read-only. */
  readonly writtenFiles = new Set<string>();
  private output = '';
  /** Length of the output when the pod became ready: a Kafka that has just started refuses some requests. */
  private outputWhenReady = 0;

  private constructor(
    readonly name: string,
    readonly port: number,
    readonly template: PodTemplate,
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly timeline: Timeline,
  ) {}

  static async start(name: string, template: PodTemplate, image: Image, secrets: Secrets, timeline: Timeline): Promise<Pod> {
    const [container] = template.spec.containers;
    const folder = temporaryFolder('subscription-sync-pod-');
    const port = await pickFreePort();
    const mounts = (container.volumeMounts ?? []).map(({ name: volume, mountPath }) => {
      const local = join(folder, volume);
      writeVolume(local, template, volume, secrets);
      return { mountPath, local };
    });
    const environment = Object.fromEntries(
      container.env.map(({ name: variable, value }) => {
        if (value === undefined) throw new Error(`The container ${name} takes ${variable} from an object, which is not supported here`);
        const mount = mounts.find(({ mountPath }) => value.startsWith(`${mountPath}/`));
        return [variable, mount ? join(mount.local, value.slice(mount.mountPath.length)) : value];
      }),
    );
    const [program, ...parameters] = container.command ?? image.command;
    const child = spawn(program!, parameters, {
      env: { PATH: process.env['PATH'], ...image.environment, ...environment, HOST: '127.0.0.1', PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const pod = new Pod(name, port, template, child, folder, timeline);
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (pod.output += text));
    child.once('exit', (code) => {
      running.delete(child);
      pod.exitCode = code;
      pod.ready = false;
    });
    timeline.note(`${name} starts`);
    return pod;
  }

  /** Runs a Job's pod. @throws Error with its output when it fails. */
  async complete(): Promise<void> {
    if (this.exitCode === undefined) await once(this.child, 'exit');
    rmSync(this.folder, { recursive: true });
    if (this.exitCode !== 0) throw new Error(`${this.name} failed: ${this.output}`);
    this.timeline.note(`${this.name} has completed`);
  }

  /** Probes the container as the kubelet does, until it ends. Resolves when it is ready for the first time. */
  async probe(): Promise<void> {
    const [{ startupProbe, livenessProbe, readinessProbe }] = this.template.spec.containers;
    await this.repeat(startupProbe!, (healthy) => healthy);
    const isReady = new Promise<void>((resolve) => {
      void this.repeat(readinessProbe!, (healthy) => {
        if (healthy !== this.ready && !this.terminating) this.timeline.note(`${this.name} is ${healthy ? 'ready' : 'not ready'}`);
        this.ready = healthy;
        if (healthy) resolve();
        return false;
      });
    });
    void this.repeat(livenessProbe!, () => false);
    await isReady;
    this.outputWhenReady = this.output.length;
  }

  /** Ends the pod as the kubelet does: SIGTERM, and SIGKILL after the grace period. */
  async terminate(): Promise<void> {
    this.terminating = true;
    this.timeline.note(`${this.name} receives SIGTERM`);
    this.inspect();
    const graceS = this.template.spec.terminationGracePeriodSeconds ?? GRACE_PERIOD_S;
    const started = performance.now();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), graceS * 1_000);
    const exited = this.exitCode === undefined ? once(this.child, 'exit') : undefined;
    this.child.kill('SIGTERM');
    await exited;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true });
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    this.timeline.note(`${this.name} has ended with code ${this.exitCode} after ${seconds} s of ${graceS} s`);
  }

  /** Limit of the container's memory, as in the chart. */
  get memoryLimit(): string {
    return this.template.spec.containers[0].resources.limits.memory;
  }

  /** Errors in the log since the pod was ready. */
  get errors(): string[] {
    return this.output
      .slice(this.outputWhenReady)
      .split('\n')
      .filter((line) => /"level":"(error|fatal)"/.test(line));
  }

  /** Notes the process's memory and the files that it writes. */
  inspect(): void {
    const { pid } = this.child;
    if (this.exitCode !== undefined || pid === undefined) return;
    const peakKb = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    this.peakMemory = Math.max(this.peakMemory, Number(peakKb) * 1_024);
    for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
      const file = writableFile(pid, descriptor);
      if (file !== undefined) this.writtenFiles.add(file);
    }
  }

  /**
   * Sends a probe every period until the process ends or `report` returns true. A success is reported at once, a failure when the threshold is reached.
   * A startup or liveness probe that fails is an error: the kubelet would restart the container.
   */
  private async repeat(probe: Probe, report: (healthy: boolean) => boolean): Promise<void> {
    const { startupProbe, livenessProbe } = this.template.spec.containers[0];
    let failures = 0;
    while (this.exitCode === undefined) {
      const healthy = await this.isHealthy(probe);
      failures = healthy ? 0 : failures + 1;
      if (failures === probe.failureThreshold && (probe === startupProbe || probe === livenessProbe) && !this.terminating) {
        this.timeline.fail(`${this.name}: the probe of ${probe.httpGet.path} failed ${failures} times, and the kubelet restarts it`);
      }
      if ((healthy || failures >= probe.failureThreshold) && report(healthy)) return;
      await delay(probe.periodSeconds * 1_000);
    }
    if (!this.terminating) this.timeline.fail(`${this.name} has ended by itself with code ${this.exitCode}: ${this.output}`);
  }

  private async isHealthy({ httpGet, timeoutSeconds }: Probe): Promise<boolean> {
    const options = { signal: AbortSignal.timeout(timeoutSeconds * 1_000) };
    return fetch(`http://127.0.0.1:${this.port}${httpGet.path}`, options).then(
      async (response) => {
        await response.arrayBuffer();
        return response.ok;
      },
      () => false,
    );
  }
}

/** Returns the name of a regular file that a descriptor of a process can write to. The process may have closed it meanwhile. */
function writableFile(pid: number, descriptor: string): string | undefined {
  try {
    const file = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
    const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'))![1]!, 8);
    return file.startsWith('/') && !file.startsWith('/dev/') && (flags & WRITABLE) !== 0 ? file : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the files of a projected volume. */
function writeVolume(folder: string, { spec }: PodTemplate, name: string, secrets: Secrets): void {
  mkdirSync(folder);
  const { projected } = spec.volumes!.find((volume) => volume.name === name)!;
  for (const { secret, configMap } of projected.sources) {
    const source = (secret ?? configMap)!;
    for (const { key, path } of source.items) writeFileSync(join(folder, path), secrets[source.name]![key]!, { mode: 0o440 });
  }
}

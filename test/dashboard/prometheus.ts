import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { eventually } from '../harness/eventually.js';
import type { Series } from './draw.js';

/** Files of the chart that the compose file's Prometheus and Grafana use, too. */
export const CHART_FILES = 'deploy/helm/subscription-sync/files';
/** Step (s) of the curves, and the time over which rates are computed. */
const [STEP_S, RATE_INTERVAL] = [5, '30s'];

/** A Prometheus that scrapes the given servers, with the rules of the chart. */
export class Prometheus {
  private constructor(
    private readonly url: string,
    private readonly child: ChildProcess,
  ) {}

  /** Starts a Prometheus whose data are in `folder`. Resolves when it has scraped a server. */
  static async start(folder: string, urls: readonly string[]): Promise<Prometheus> {
    const targets = urls.map((url) => `'${new URL(url).host}'`).join(', ');
    const file = join(folder, 'prometheus.yaml');
    writeFileSync(file, readFileSync('docker/monitoring/prometheus.yaml', 'utf8').replace("'service:3000'", targets));
    copyFileSync(`${CHART_FILES}/alerts.yaml`, join(folder, 'alerts.yaml'));
    const address = `127.0.0.1:${await pickFreePort()}`;
    const flags = [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${address}`];
    const child = spawn('prometheus', [...flags, '--log.level=warn'], { stdio: 'inherit' });
    process.once('exit', () => child.kill('SIGKILL'));
    const prometheus = new Prometheus(`http://${address}`, child);
    await eventually(async () => (await prometheus.get<{ activeTargets: { health: string }[] }>('targets')).activeTargets.some(isUp));
    return prometheus;
  }

  async stop(): Promise<void> {
    this.child.kill();
    if (this.child.exitCode === null) await once(this.child, 'exit');
  }

  /** Returns the curves of a panel's query that have a value, with Grafana's variables replaced. */
  async query(expr: string, legend: string, from: number): Promise<Series[]> {
    const query = expr.replaceAll('$namespace', '.*').replaceAll('$__rate_interval', RATE_INTERVAL);
    const range = { start: String(from / 1_000), end: String(Date.now() / 1_000), step: String(STEP_S) };
    const { result } = await this.get<{ result: Matrix }>(`query_range?${new URLSearchParams({ query, ...range }).toString()}`);
    return result
      .map(({ metric, values }) => ({
        name: legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
        points: values.map(([time, value]) => [time * 1_000, Number(value)] as const).filter(([, value]) => Number.isFinite(value)),
      }))
      .filter(({ points }) => points.length > 0);
  }

  private async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}`);
    const { status, data, error } = (await response.json()) as { status: string; data: T; error?: string };
    if (status !== 'success') throw new Error(`Prometheus refuses ${path}: ${error}`);
    return data;
  }
}

type Matrix = readonly { readonly metric: Record<string, string>; readonly values: readonly (readonly [number, string])[] }[];

function isUp({ health }: { readonly health: string }): boolean {
  return health === 'up';
}

import 'reflect-metadata';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pickFreePort } from '../../apps/standalone/src/plan.js';
import { CertificateAuthority, writeCertificate } from '../harness/certificates.js';
import { eventually } from '../harness/eventually.js';
import { Parts } from '../harness/parts.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { World } from '../harness/world.js';
import { type Panel, type Series, drawDashboard } from './draw.js';
import { runLoad } from './load.js';

const CHART_FILES = 'deploy/helm/subscription-sync/files';
/** Step (s) of the curves, and the time over which rates are computed. */
const [STEP_S, RATE_INTERVAL] = [5, '30s'];

/**
 * `npm run test:dashboard` runs Prometheus, with the configuration of docker/compose.yaml, against the three roles under a load with outages, bad
 * records and drift, and runs the query of each panel of the dashboard: each must return data. `--seconds` is the duration of the load;
 * `--picture` names a file for a picture of the panels (SVG).
 */
const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '120' }, picture: { type: 'string' } } });

if (spawnSync('prometheus', ['--version']).error !== undefined) {
  console.log('NOT CHECKED: the dashboard, because prometheus is not installed');
} else {
  process.exitCode = (await check()) ? 0 : 1;
}

async function check(): Promise<boolean> {
  const folder = temporaryFolder('dashboard-');
  const parts = await Parts.start();
  try {
    const { certificate, key } = writeCertificate(folder, 'client', new CertificateAuthority('ca').issue(['client']));
    const tls = { DB1_SSLCERT: certificate, DB1_SSLKEY: key };
    const env = { CANARY_INTERVAL: '1', RECONCILE_INTERVAL: '10', RECONCILE_LOAD: '100', ...tls };
    const world = await World.started({ parts: parts.addresses, servers: [['api'], ['sync'], ['replica']], env });
    try {
      return await checkPanels(folder, world);
    } finally {
      await world.close();
    }
  } finally {
    await parts.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function checkPanels(folder: string, world: World): Promise<boolean> {
  const prometheus = await Prometheus.start(folder, world.urls);
  try {
    const from = Date.now();
    await runLoad(world, Number(options.seconds) * 1_000);
    const linted = await Promise.all(world.urls.map(areMetricsClean));
    const dashboard = JSON.parse(readFileSync(`${CHART_FILES}/dashboard.json`, 'utf8')) as { panels: readonly Panel[] };
    const data = new Map<Panel, Series[]>();
    const empty: string[] = [];
    for (const panel of dashboard.panels) {
      for (const { expr, legendFormat } of panel.targets ?? []) {
        const found = await prometheus.query(expr, legendFormat, from);
        if (found.length === 0) empty.push(`${panel.title}: ${expr}`);
        data.set(panel, [...(data.get(panel) ?? []), ...found]);
      }
    }
    if (options.picture !== undefined) writeFileSync(options.picture, drawDashboard(dashboard.panels, data, from, Date.now()));
    console.log(`${data.size} panels, ${[...data.values()].flat().length} curves, ${empty.length} queries without data`);
    for (const query of empty) console.log(`No data for ${query}`);
    return empty.length === 0 && data.size > 10 && !linted.includes(false);
  } finally {
    await prometheus.stop();
  }
}

/** Whether Prometheus' linter has nothing to say about a server's metrics: names, units, help. It prints what it has to say. */
async function areMetricsClean(url: string): Promise<boolean> {
  const input = await (await fetch(`${url}/metrics`)).text();
  return spawnSync('promtool', ['check', 'metrics'], { input, stdio: ['pipe', 'inherit', 'inherit'] }).status === 0;
}

/** A Prometheus that scrapes the given servers, with the rules of the chart. */
class Prometheus {
  private constructor(
    private readonly url: string,
    private readonly child: ChildProcess,
  ) {}

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

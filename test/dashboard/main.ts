import 'reflect-metadata';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CertificateAuthority, writeCertificate } from '../harness/certificates.js';
import { Parts } from '../harness/parts.js';
import { temporaryFolder } from '../harness/temporary-folder.js';
import { World } from '../harness/world.js';
import { type Panel, type Series, drawDashboard } from './draw.js';
import { runLoad } from './load.js';
import { CHART_FILES, Prometheus } from './prometheus.js';

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

import { type Servers, withServers } from '../servers.js';
import { nativeReplication } from './native.js';
import { ServicePipeline } from './service-pipeline.js';
import { compareTls } from './tls.js';
import { CHANGES, measure, type Figures } from './workload.js';

/** Configurations of the service. Native logical replication is measured before them, on the same servers. */
const RUNS = [
  { name: 'one_process_wal', roles: ['api,sync,replica'], capture: 'wal' },
  { name: 'two_processes_wal', roles: ['api,sync', 'replica'], capture: 'wal' },
  { name: 'one_process_poll', roles: ['api,sync,replica'], capture: 'poll' },
] as const;

if (process.argv[3] === 'tls') await compareTls();
else await withServers('512MB', compareWithNative);

async function compareWithNative([part1, part2, kafka]: Servers): Promise<void> {
  console.log(`${CHANGES} single-row changes in 1,000-row transactions, then 300 spaced ones; everything on this machine\n`);
  console.log('pipeline             catch-up/s   live/s  written/s   p50 ms   p99 ms   CPU µs/change   peak MB');
  const native = await nativeReplication(part1, part2);
  const peer = await measure(native);
  report('native', peer);
  await native.close();
  for (const { name, roles, capture } of RUNS) {
    const pipeline = await ServicePipeline.prepare(name, roles, capture, [part1, part2, kafka]);
    const figures = await measure(pipeline);
    const { cpu, memory } = pipeline.usage();
    report(name, figures, `${((cpu / (2 * CHANGES)) * 1e6).toFixed(0).padStart(12)}   ${memory.join(' + ')}`);
    report('  ratio to native', {
      catchUp: figures.catchUp / peer.catchUp,
      live: figures.live / peer.live,
      written: figures.written / peer.written,
      delayP50: figures.delayP50 / peer.delayP50,
      delayP99: figures.delayP99 / peer.delayP99,
    });
    await pipeline.close();
  }
}

function report(name: string, { catchUp, live, written, delayP50, delayP99 }: Figures, rest = ''): void {
  const rate = (value: number, width: number): string => (value < 100 ? value.toFixed(2) : String(Math.round(value))).padStart(width);
  console.log(
    `${name.padEnd(20)}${rate(catchUp, 11)}${rate(live, 9)}${rate(written, 11)}${delayP50.toFixed(1).padStart(9)}${delayP99.toFixed(1).padStart(9)}${rest}`,
  );
}

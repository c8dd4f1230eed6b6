import type { EmbeddedPostgres } from '../../apps/standalone/src/postgres.js';
import { ServicePipeline } from '../pipeline/service-pipeline.js';
import { type Servers, withServers } from '../servers.js';
import { backfill } from './backfill.js';
import { countingProxy } from '../counting-proxy.js';
import { dataDiff } from './data-diff.js';
import { existing } from './existing.js';
import { finishedIn } from './runs.js';
import { DIFFERENCES, drift, fill, plainScan } from './tables.js';
import { measureWrites } from './writes.js';

/** `npm run bench:reconcile [-- ROWS [compare|backfill|existing]]`. `compare` omits the parts that take hours with more rows than the default. */
const ROWS = Number(process.argv[2] ?? 1_000_000);
const ONLY = process.argv[3];
const REPETITIONS = 3;
const WRITE_SECONDS = 20;

if (ONLY === undefined || ONLY === 'compare') await withServers('1GB', bench);
if (ONLY === undefined || ONLY === 'backfill') await withServers('1GB', (parts) => backfill(parts, ROWS));
if (ONLY === undefined || ONLY === 'existing') await withServers('1GB', (parts) => existing(parts, ROWS));

async function bench(parts: Servers, folder: string): Promise<void> {
  const proxies = await Promise.all([countingProxy(parts[0].port), countingProxy(parts[1].port)]);
  const pipeline = await ServicePipeline.prepare('reconcile', ['api,sync,replica'], 'wal', parts, {
    RECONCILE_INTERVAL: '0',
    DB1_PORT: String(proxies[0].port),
    DB2_PORT: String(proxies[1].port),
  });
  const { db1, db2 } = pipeline;
  await fill(db1, db2, ROWS);
  await drift(db2, ROWS);
  await pipeline.start();
  console.log(`${ROWS} rows, ${DIFFERENCES} of them drifted; everything on this machine, each the best of ${REPETITIONS}\n`);

  const plain = await best(() => plainScan(db1, db2));
  console.log(`plain hash scan of both at once      ${plain.toFixed(2)} s`);
  const before = proxies.map(({ bytes }) => bytes());
  const compared = await best(() => run({ repair: false }, 'differs'));
  const megabytes = proxies.reduce((sum, { bytes }, i) => sum + bytes() - before[i]!, 0) / REPETITIONS / 1e6;
  console.log(`found and explained                  ${compared.toFixed(2)} s   ${(compared / plain).toFixed(2)} times the plain scan`);
  console.log(
    `read from both databases             ${megabytes.toFixed(2)} MB, ${((megabytes * 1e6) / DIFFERENCES).toFixed(0)} bytes per row that differs`,
  );
  if (ONLY !== 'compare') await besideDataDiff();
  console.log(`found, explained and repaired        ${(await run({}, 'repaired')).toFixed(2)} s`);

  if (ONLY !== 'compare') await besideWrites();
  console.log(`peak memory of the process           ${pipeline.usage().memory.join(' + ')} MB`);
  for (const proxy of proxies) proxy.close();
  await pipeline.close();

  async function besideDataDiff(): Promise<void> {
    // The indexes by which data-diff bisects. Without them each of its queries would read the whole table.
    await Promise.all([db1.query('CREATE INDEX peer_key ON subscriptions (n)'), db2.query('CREATE INDEX peer_key ON subscriptions (n)')]);
    const peer = await dataDiff(folder, [urlOf(parts[0]), urlOf(parts[1])]);
    if (peer) {
      console.log(
        `data-diff 0.11, by an integer key    ${peer.seconds.toFixed(2)} s   the service is ${(peer.seconds / compared).toFixed(1)} times as fast; it found ${peer.found}`,
      );
    }
    await Promise.all([db1.query('DROP INDEX peer_key'), db2.query('DROP INDEX peer_key')]);
  }

  async function besideWrites(): Promise<void> {
    const alone = await measureWrites(db1, db2, ROWS, WRITE_SECONDS);
    const runs = keepComparing();
    const beside = await measureWrites(db1, db2, ROWS, WRITE_SECONDS);
    await runs.stop();
    const describe = ({ rate, p50, p99 }: typeof alone): string =>
      `${Math.round(rate)} writes/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
    console.log(`writes alone                         ${describe(alone)}`);
    console.log(`writes during runs at load 10        ${describe(beside)}: ${((beside.rate / alone.rate) * 100).toFixed(0)} % of the rate`);
  }

  function run(request: object, outcome: string): Promise<number> {
    return finishedIn(pipeline, 'runs', request, outcome);
  }

  function keepComparing(): { stop: () => Promise<void> } {
    let running = true;
    const comparing = (async () => {
      while (running) await run({ load: 10, repair: false }, 'equal');
    })();
    return {
      stop: async () => {
        running = false;
        await comparing;
      },
    };
  }
}

async function best(measure: () => Promise<number>): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < REPETITIONS; i += 1) least = Math.min(least, await measure());
  return least;
}

function urlOf({ host, port, user, password }: EmbeddedPostgres): string {
  return `postgresql://${user}:${password}@${host}:${port}/reconcile`;
}

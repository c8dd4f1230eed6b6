import { withServers, type Servers } from '../servers.js';
import { load } from './load.js';
import { OPERATIONS, type Operation } from './requests.js';
import { bareServer, service, type Target } from './targets.js';

/**
 * Number of rounds: `npm run bench:api [-- ROUNDS]`. There are many short ones, so that other work on the machine affects all servers alike
 * and the medians ignore it.
 */
const ROUNDS = Number(process.argv[2] ?? 21);
const SECONDS = 0.8;
const WARM_UP_SECONDS = 2;
/** Minimum ratio of the api role to the bare server, in requests per second, for each operation. */
const PROMISED = 0.6;

interface Figures {
  readonly perSecond: number;
  readonly ratio: number;
  readonly p50: number;
  readonly p99: number;
  /** CPU time of the server's process, µs per request. */
  readonly cpu: number;
}

await withServers('512MB', async ([part1, part2, kafka], folder) => {
  // Its Database 1 is on the other server, so that the replication of `all` does not slow the two servers that are compared.
  const api = await service('api_role', 'api', [part2, part1, kafka] satisfies Servers, folder);
  const all = await service('all_roles', 'api,sync,replica', [part1, part2, kafka], folder);
  const targets = [await bareServer(api.db1), api, all];
  try {
    await compare(targets);
  } finally {
    await Promise.all(targets.map((target) => target.close()));
  }
});

async function compare(targets: readonly Target[]): Promise<void> {
  console.log(
    `32 connections, ${ROUNDS} alternating rounds of ${SECONDS} s; everything on this machine; ratios to the bare server in the same round\n`,
  );
  for (const operation of OPERATIONS) for (const target of targets) await measure(target, operation, WARM_UP_SECONDS);
  const rounds: Figures[][][] = [];
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await playRound(targets, round % 2 === 1));
  console.log('           server        requests/s   ratio   p50 ms   p99 ms   CPU µs/request');
  OPERATIONS.forEach((operation, o) => {
    targets.forEach(({ name }, t) =>
      report(
        operation,
        name,
        rounds.map((round) => round[o]![t]!),
      ),
    );
  });
}

/** Returns, for each operation, the figures of all targets in their order. */
async function playRound(targets: readonly Target[], backwards: boolean): Promise<Figures[][]> {
  const figures: Figures[][] = [];
  for (const operation of OPERATIONS) {
    const inTurn = backwards ? targets.toReversed() : targets;
    const measured = new Map<Target, Omit<Figures, 'ratio'>>();
    for (const target of inTurn) measured.set(target, await measure(target, operation, SECONDS));
    const bare = measured.get(targets[0]!)!.perSecond;
    figures.push(targets.map((target) => ({ ...measured.get(target)!, ratio: measured.get(target)!.perSecond / bare })));
  }
  return figures;
}

async function measure(target: Target, operation: Operation, seconds: number): Promise<Omit<Figures, 'ratio'>> {
  const before = target.cpu();
  const { requests, perSecond, latencies } = await load(target.port, seconds, target.next(operation));
  const cpu = ((target.cpu() - before) / requests) * 1e6;
  const sorted = latencies.toSorted((a, b) => a - b);
  const percentile = (share: number): number => sorted[Math.floor(sorted.length * share)]!;
  await target.waitUntilIdle();
  return { perSecond, p50: percentile(0.5), p99: percentile(0.99), cpu };
}

function report(operation: Operation, name: string, rounds: readonly Figures[]): void {
  const median = (of: keyof Figures): number => rounds.map((figures) => figures[of]).toSorted((a, b) => a - b)[rounds.length >> 1]!;
  const ratio = median('ratio');
  const cells = [
    Math.round(median('perSecond')).toString().padStart(13),
    (name === 'bare' ? '' : ratio.toFixed(2)).padStart(8),
    median('p50').toFixed(1).padStart(9),
    median('p99').toFixed(1).padStart(9),
    median('cpu').toFixed(0).padStart(17),
  ];
  const warning = name === 'api_role' && ratio < PROMISED ? `   below ${PROMISED}` : '';
  console.log(`${operation.padEnd(11)}${name.padEnd(11)}${cells.join('')}${warning}`);
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Parts } from '../harness/parts.js';
import { createServerBundle } from '../harness/server-bundle.js';
import type { Injected } from './execute.js';
import { KINDS } from './kinds.js';
import { planOf } from './plan.js';
import { Rig } from './rig.js';
import { runSeed, type Result } from './run-seed.js';
import { describeResult, replayOf, summaryOf } from './summary.js';

const USAGE = `npm run test:faults -- [options]
  --seed N         one seed; the same seed has the same plan and the same writes
  --seeds N        number of seeds (10)
  --from S         the first seed (by default a random one, which is printed)
  --kinds a,b      only these kinds of faults: ${Object.keys(KINDS).join(', ')}
  --minutes M      starts no new seed after this time
  --workers N      number of concurrent seeds, each with its own databases and Kafka (1)
  --summary FILE   writes a summary
  --result FILE    writes the numbers of passed and failed seeds, as JSON
  --keep           also keeps the histories and the output of the processes of seeds that passed
A fault that could not be injected fails its seed, unless this machine cannot mount the small disk that it needs.
`;

const options = parse();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.log(`Ended by ${signal}`);
    process.exit(1);
  });
}
const folder = mkdtempSync(join(tmpdir(), 'subscription-sync-faults-'));
const started = performance.now();
const waiting = Array.from({ length: options.seeds }, (_, index) => options.from + index);
const results: Result[] = [];
const unplayed: number[] = [];

const [pristine] = await Promise.all([Parts.makePristine(), createServerBundle()]);
process.once('exit', () => rmSync(pristine, { recursive: true, force: true }));
console.log(`${options.seeds} seeds from ${options.from}, ${options.workers} at a time`);
await Promise.all(Array.from({ length: options.workers }, work));
results.sort((a, b) => a.plan.seed - b.plan.seed);
const failed = results.filter((result) => Object.keys(result.violations).length > 0 || notInjected(result).length > 0);
const summary = summaryOf(results, performance.now() - started);
console.log(`\n${summary}`);
if (options.summary !== undefined) writeFileSync(options.summary, summary);
if (options.result !== undefined) {
  const bad = options.seeds - (results.length - failed.length);
  writeFileSync(options.result, JSON.stringify({ passed: options.seeds - bad, failed: bad }));
}
for (const result of failed) {
  for (const { kind, skipped } of notInjected(result)) console.log(`seed ${result.plan.seed}: ${kind} was not injected: ${skipped}`);
}
if (unplayed.length > 0) console.log(`Not played: ${unplayed.join(', ')}`);
if (failed.length + unplayed.length > 0) process.exitCode = 1;
else if (options.keep) console.log(`Histories: ${folder}`);
else rmSync(folder, { recursive: true });

async function work(): Promise<void> {
  let rig = await Rig.start();
  for (let seed = waiting.shift(); seed !== undefined && !isLate(); seed = waiting.shift()) {
    try {
      const result = await runSeed(rig, seed, { ...options, folder });
      results.push(result);
      console.log(describeResult(result, options.kinds));
    } catch (error) {
      // The state of the parts is unknown after a failure.
      unplayed.push(seed);
      console.log(
        `seed ${seed} could not be played: ${String((error as Error).stack)}\n  repeat it with: ${replayOf(seed, options.kinds)}`,
      );
      await rig.close();
      rig = await Rig.start();
    }
  }
  await rig.close();
}

/** Returns the planned faults that were not injected, except those that this machine can't inject. */
function notInjected({ injected }: Result): Injected[] {
  return injected.filter(({ skipped }) => skipped !== undefined && !skipped.includes('tmpfs'));
}

function isLate(): boolean {
  return performance.now() - started > options.minutes * 60_000;
}

interface Options {
  readonly seeds: number;
  readonly from: number;
  readonly kinds: readonly string[];
  readonly minutes: number;
  readonly workers: number;
  readonly summary: string | undefined;
  readonly result: string | undefined;
  readonly keep: boolean;
}

function parse(): Options {
  try {
    const text = { type: 'string' } as const;
    const { values } = parseArgs({
      options: {
        seed: text,
        seeds: text,
        from: text,
        kinds: text,
        minutes: text,
        workers: text,
        summary: text,
        result: text,
        keep: { type: 'boolean' },
      },
    });
    const kinds = values.kinds?.split(',') ?? [];
    planOf(0, kinds);
    return {
      seeds: values.seed === undefined ? wholeNumber(values.seeds, 10) : 1,
      from: wholeNumber(values.seed ?? values.from, Date.now() % 1_000_000),
      kinds,
      minutes: wholeNumber(values.minutes, Infinity),
      workers: wholeNumber(values.workers, 1),
      summary: values.summary,
      result: values.result,
      keep: values.keep ?? false,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function wholeNumber(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (!/^\d+$/.test(text)) throw new Error(`"${text}" is not a whole number`);
  return Number(text);
}

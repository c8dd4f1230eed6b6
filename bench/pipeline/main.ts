import { CONTENDERS } from './contenders/all.js';
import { EXPERIMENTS } from './experiments/all.js';
import type { Experiment, Setting } from './experiment.js';
import { readOptions } from './options.js';
import { NotMeasured, type Stand } from './pipeline.js';
import { describeRun, printTable, writeReport } from './report.js';
import { Results } from './results.js';
import { withStand } from './stands.js';

const options = readOptions(
  process.argv.slice(2),
  EXPERIMENTS.flatMap(({ workloads }) => workloads),
  CONTENDERS.map(({ name }) => name),
);
const results = new Results();
const begun = performance.now();
const experiments = EXPERIMENTS.filter(({ workloads }) => workloads.some((name) => options.workloads.includes(name)));
/** Number of databases that were named so far. */
let named = 0;

// The contenders' processes end when this one exits.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
console.log(describeRun(options).join('\n'));
for (const setting of ['plain', 'proxied', 'tls'] satisfies Setting[]) {
  const together = experiments.filter((experiment) => experiment.setting === setting);
  if (together.length > 0) await withStand[setting]((stand) => measureInTurn(together, stand));
}
for (const { tables } of experiments) for (const table of tables) printTable(table, results);
for (const [row, reason] of results.notMeasured) console.log(`NOT MEASURED: ${row}: ${reason}`);
if (options.write) writeReport(experiments, results, options);
console.log(`\nThe run took ${((performance.now() - begun) / 60_000).toFixed(1)} minutes.`);

/** Measures all rows of the experiments in each round, every second round in the opposite order. */
async function measureInTurn(inTurn: readonly Experiment[], stand: Stand): Promise<void> {
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const { workloads, entries } of inTurn) {
      const all = entries(options);
      for (const { row, measure } of round % 2 === 1 ? all : all.toReversed()) {
        const name = `${workloads.filter((workload) => options.workloads.includes(workload)).join(', ')}: ${row}`;
        if (results.notMeasured.has(name)) continue;
        const started = performance.now();
        try {
          named += 1;
          // Figures count only when the tables were equal at the end.
          const figures = new Results();
          await measure(`bench_${named}`, stand, figures);
          results.addAll(figures);
          console.log(`round ${round}, ${name}: ${((performance.now() - started) / 1_000).toFixed(0)} s`);
        } catch (error) {
          results.notMeasured.set(name, (error as Error).message);
          console.error(`NOT MEASURED: ${name}:`, error instanceof NotMeasured ? error.message : error);
          if (!(error instanceof NotMeasured)) process.exitCode = 1;
        }
      }
    }
  }
}

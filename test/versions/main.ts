import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { FetchError } from './fetch-servers.js';
import { COMBINATIONS, type Combination, SHORT } from './matrix.js';
import { reportOf, type Row } from './report.js';
import { runCombination } from './run-combination.js';

const NAMES = COMBINATIONS.map(({ name }) => name);
const USAGE = `npm run test:versions -- [options]
  --only a,b       only these combinations: ${NAMES.join(', ')}
  --short          only a few specs, with the oldest PostgreSQL as Database 1 and the newest as Database 2
  --if-possible    it is not a failure when a version cannot be fetched
  --summary FILE   writes the results
  --result FILE    writes the numbers of tests that passed, failed and were skipped, as JSON
Versions and specs are in test/versions/matrix.ts.
`;

const options = parse();
const rows: Row[] = [];
for (const combination of options.combinations) rows.push(await play(combination));
const report = reportOf(rows);
console.log(`\n${report}`);
if (options.summary !== undefined) writeFileSync(options.summary, report);
const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
const failed = sum(({ outcome }) => (typeof outcome === 'string' ? Number(!options.ifPossible) : outcome.failed));
if (options.result !== undefined) {
  const passed = sum(({ outcome }) => (typeof outcome === 'string' ? 0 : outcome.passed));
  const skipped = sum(({ outcome }) => Number(typeof outcome === 'string' && options.ifPossible));
  writeFileSync(options.result, JSON.stringify({ passed, failed, skipped }));
}
process.exitCode = failed > 0 ? 1 : 0;

async function play(combination: Combination): Promise<Row> {
  console.log(`\n── ${combination.name}`);
  try {
    return { combination, outcome: await runCombination(combination) };
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    console.log(`${options.ifPossible ? 'SKIPPED' : 'FAILED'}: ${combination.name}: ${error.message}`);
    return { combination, outcome: error.message };
  }
}

interface Options {
  readonly combinations: readonly Combination[];
  readonly ifPossible: boolean;
  readonly summary: string | undefined;
  readonly result: string | undefined;
}

function parse(): Options {
  try {
    const [text, flag] = [{ type: 'string' }, { type: 'boolean', default: false }] as const;
    const { values } = parseArgs({ options: { only: text, short: flag, 'if-possible': flag, summary: text, result: text } });
    const names = values.only?.split(',') ?? NAMES;
    const unknown = names.filter((name) => !NAMES.includes(name));
    if (unknown.length > 0) throw new Error(`There is no combination ${unknown.join(', ')}`);
    return {
      combinations: values.short ? [SHORT] : COMBINATIONS.filter(({ name }) => names.includes(name)),
      ifPossible: values['if-possible'],
      summary: values.summary,
      result: values.result,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(1);
  }
}

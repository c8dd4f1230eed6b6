import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { expect, test } from '@jest/globals';
import { readRepository, readSources } from './doc-references.js';

const reference = readFileSync('docs/operating/reference.md', 'utf8');
const runbook = readFileSync('docs/operating/runbook.md', 'utf8');
const sources = readSources(readRepository()).filter(({ path }) => /^(?:apps|libs)\/.*\.ts$/.test(path) && !path.endsWith('.spec.ts'));
/** The code's text, with strings that are concatenated over several lines joined. */
const code = sources.map(({ text }) => text.replaceAll(/['"`] \+\s*['"`]/g, '')).join('\n');

/** Returns the code spans in the first column of the tables of a section. */
function firstColumn(markdown: string): string[] {
  return [...markdown.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}

function section(markdown: string, heading: string): string {
  return markdown.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
}

test('the reference lists exactly the settings of .env.example', () => {
  const example = parseEnv(readFileSync('.env.example', 'utf8').replaceAll(/^#(?=[A-Z0-9_]+=)/gm, ''));
  expect(firstColumn(section(reference, 'Settings')).sort()).toEqual(Object.keys(example).sort());
});

test('the reference lists exactly the metrics that the libraries register', () => {
  const registered = [...code.matchAll(/name: '(subscription_sync_\w+)'/g)].map(([, name]) => name!);
  expect(registered.length).toBeGreaterThan(20);
  const [metrics] = section(reference, 'Metrics').split('\n### ');
  expect(firstColumn(metrics!).sort()).toEqual(registered.sort());
});

test('every log line of the runbook is one that the service writes', () => {
  const lines = firstColumn(section(runbook, 'By log line'));
  expect(lines.length).toBeGreaterThan(25);
  const missing = lines.filter((line) => !line.split('…').every((part) => code.includes(part.trim())));
  expect(missing).toEqual([]);
});

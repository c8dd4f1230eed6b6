import { readdirSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { readRepository, readSources } from './doc-references.js';

const reference = readFileSync('docs/operating/reference.md', 'utf8');
const runbook = readFileSync('docs/operating/runbook.md', 'utf8');
const sources = readSources(readRepository()).filter(({ path }) => /^(?:apps|libs)\/.*\.ts$/.test(path) && !path.endsWith('.spec.ts'));
/** The code's text, with strings that are concatenated over several lines joined. */
const code = sources.map(({ text }) => text.replaceAll(/['"`] \+\s*['"`]/g, '')).join('\n');

const CHART = 'deploy/helm/subscription-sync/files';
const alerts = readFileSync(`${CHART}/alerts.yaml`, 'utf8');
/** Settings that values of the chart cannot have: the chart sets them, or only `npm start` reads them. */
const NOT_IN_VALUES = /^(ROLES|PORT|STANDALONE_.*)$/;

/** A file of tests for `promtool test rules`. */
interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
  }[];
}

/** Returns the code spans in a column of the tables of a section, by default in the first. */
function codeSpans(markdown: string, column = 0): string[] {
  const cells = [...markdown.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row!.split(/ \|(?= )/)[column] ?? '');
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}

function section(markdown: string, heading: string): string {
  return markdown.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
}

test('the reference lists exactly the settings of .env.example', () => {
  const example = parseEnv(readFileSync('.env.example', 'utf8').replaceAll(/^#(?=[A-Z0-9_]+=)/gm, ''));
  expect(codeSpans(section(reference, 'Settings')).sort()).toEqual(Object.keys(example).sort());
});

test('the reference lists exactly the metrics that the libraries register', () => {
  const registered = [...code.matchAll(/name: '(subscription_sync_\w+)'/g)].map(([, name]) => name!);
  expect(registered.length).toBeGreaterThan(20);
  const [metrics] = section(reference, 'Metrics').split('\n### ');
  expect(codeSpans(metrics!).sort()).toEqual(registered.sort());
});

test('every log line of the runbook is one that the service writes', () => {
  const lines = codeSpans(section(runbook, 'By log line'), 1);
  expect(lines.length).toBeGreaterThan(25);
  const missing = lines.filter((line) => !line.split('…').every((part) => code.includes(part.trim())));
  expect(missing).toEqual([]);
});

test('the runbook lists exactly the codes of the log', () => {
  const written = new Set([...code.matchAll(/\bcode: '([a-z][a-z0-9-]+)'(?=,\s+(?:message|request_id)\b| \})/g)].map(([, name]) => name!));
  expect(written.size).toBeGreaterThan(50);
  expect([...new Set(codeSpans(section(runbook, 'By log line')))].sort()).toEqual([...written].sort());
});

test('the chart knows the settings of the reference', () => {
  const names = codeSpans(section(reference, 'Settings'));
  const listed = [...readFileSync(`${CHART}/setting-names.yaml`, 'utf8').matchAll(/^ {2}- (\w+)$/gm)].map(([, name]) => name!);
  // A secret is named without _FILE: the chart mounts it as a file.
  const wanted = names.filter((name) => !NOT_IN_VALUES.test(name) && !(name.endsWith('_FILE') && names.includes(name.slice(0, -5))));
  expect(listed.toSorted()).toEqual(wanted.toSorted());
});

test('each alert has a section in docs/operating/alerts.md, and links to it', () => {
  const names = [...alerts.matchAll(/- alert: (\w+)$/gm)].map(([, name]) => name!);
  const titles = [...readFileSync('docs/operating/alerts.md', 'utf8').matchAll(/^## (\w+)$/gm)].map(([, title]) => title!);
  expect(names.length).toBeGreaterThan(10);
  expect(titles).toEqual(names);
  expect([...alerts.matchAll(/runbook_url: RUNBOOK_URL#(\w+)$/gm)].map(([, anchor]) => anchor)).toEqual(
    names.map((name) => name.toLowerCase()),
  );
});

test('a test of the rules shows of each alert that it fires, and when it does not', () => {
  const folder = `${CHART}/../tests/rules`;
  const checks = readdirSync(folder).flatMap((file) => (parse(readFileSync(`${folder}/${file}`, 'utf8')) as RuleTests).tests);
  const tried = (fires: boolean): string[] => {
    const found = checks.flatMap((group) =>
      group.alert_rule_test.filter(({ exp_alerts }) => (fires ? exp_alerts.length > 0 : exp_alerts.length === 0)),
    );
    return [...new Set(found.map(({ alertname }) => alertname))].sort();
  };
  const names = [...alerts.matchAll(/- alert: (\w+)$/gm)].map(([, name]) => name!).sort();
  expect(tried(true)).toEqual(names);
  expect(tried(false)).toEqual(names);
});

test('alerts and the dashboard use metrics of the reference only', () => {
  const known = new Set(codeSpans(section(reference, 'Metrics')));
  const used = `${alerts}${readFileSync(`${CHART}/dashboard.json`, 'utf8')}`.matchAll(/\bsubscription_sync_\w+/g);
  const names = new Set([...used].map(([name]) => name.replace(/_bucket$/, '')));
  expect(names.size).toBeGreaterThan(10);
  expect([...names].filter((name) => !known.has(name))).toEqual([]);
});

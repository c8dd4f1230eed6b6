import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

const CHART = 'deploy/helm/subscription-sync/files';
const reference = readFileSync('docs/operating/reference.md', 'utf8');
const alerts = readFileSync(`${CHART}/alerts.yaml`, 'utf8');

/** Names that only the chart sets, and those of the embedded servers of `npm start`. */
const NOT_FOR_USERS = /^(ROLES|PORT|STANDALONE_.*)$/;

function section(title: string): string {
  return reference.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!;
}

test('the chart knows the settings of the reference', () => {
  const rows = section('Settings').matchAll(/^\| (`[A-Z][^|]*) \|/gm);
  const names = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name]) => name!));
  const listed = [...readFileSync(`${CHART}/setting-names.yaml`, 'utf8').matchAll(/^ {2}- (\w+)$/gm)].map(([, name]) => name!);
  // A secret is named without _FILE: the chart mounts it as a file.
  const wanted = names.filter((name) => !NOT_FOR_USERS.test(name) && !(name.endsWith('_FILE') && names.includes(name.slice(0, -5))));
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

test('alerts and the dashboard use metrics of the reference only', () => {
  const known = new Set([...section('Metrics').matchAll(/`(subscription_sync_\w+)`/g)].map(([, name]) => name));
  const used = `${alerts}${readFileSync(`${CHART}/dashboard.json`, 'utf8')}`.matchAll(/\bsubscription_sync_\w+/g);
  const names = new Set([...used].map(([name]) => name.replace(/_bucket$/, '')));
  expect(names.size).toBeGreaterThan(10);
  expect([...names].filter((name) => !known.has(name))).toEqual([]);
});

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Browser, chromium } from 'playwright-core';
import type { DifferenceView, RunView } from './reconciliation.dto.js';
import { reportPage } from './report-page.js';

const CHROMIUM = '/usr/bin/chromium';
const PHONE = { width: 390, height: 844 };

const run: RunView = {
  id: 12,
  kind: 'compare',
  reason: 'scheduled',
  scope: 'all',
  after_email: '',
  until_email: null,
  position: 'zoe@example.com',
  repair: true,
  repair_limit: 10_000,
  load: 10,
  rate: null,
  paused: false,
  compared: 1_000_000,
  in_flight: 0,
  differing: 40,
  repaired: 40,
  outcome: 'repaired',
  started_at: '2026-11-25T23:00:00+00:00',
  finished_at: '2026-11-25T23:00:02+00:00',
};
const differences = Array.from({ length: 40 }, (_, i): DifferenceView => ({
  id: i,
  run: 12,
  email: `${'longer'.repeat(10)}${i}@example.com`,
  cause: 'content',
  state: 'repaired',
  version_in_db1: 1_000_000 + i,
  version_in_db2: 1_000_000 + i,
  found_at: '2026-11-25T23:00:01+00:00',
  changed_at: '2026-11-25T23:00:02+00:00',
}));

test.each([
  ['compare', true, 'compare and repair'],
  ['compare', false, 'compare'],
  ['resync', true, 'copy all rows, then compare and repair'],
  ['republish', true, 'publish all rows anew, then compare and repair'],
] as const)('what a run of the kind %s does', (kind, repair, does) => {
  expect(reportPage(Object.assign({}, run, { kind, repair }), [], [])).toContain(`<dt>Does</dt><dd>${does}</dd>`);
});

// Debian's chromium: apt-get install chromium.
(existsSync(CHROMIUM) ? describe : describe.skip)('in Chromium', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
  });
  afterAll(() => browser.close());

  test.each([
    ['a phone', PHONE],
    ['a desk', { width: 1_280, height: 900 }],
  ])('the page fits %s, and says what came of the run', async (_, viewport) => {
    const page = await browser.newPage({ viewport });
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    await page.setContent(reportPage(run, [{ cause: 'content', state: 'repaired', count: 40 }], differences));
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(viewport.width);
    expect(await page.locator('.verdict.good').innerText()).toBe('What differed is repaired; both databases are equal.');
    expect(await page.locator('table.rows tbody tr').count()).toBe(40);
    expect(await page.locator('table.rows td.email').first().isVisible()).toBe(true);
    expect(requests).toEqual([]);
    await page.close();
  });
});

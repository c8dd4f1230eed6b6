import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import { chromium, type Browser } from 'playwright-core';
import { makeKey } from '../harness/credentials.js';
import { World } from '../harness/world.js';

const CHROMIUM = '/usr/bin/chromium';

let world: World;
let key: string;

beforeAll(async () => {
  const shared = await World.shared();
  world = await shared.startBeside({ servers: [['api']], env: { ACCESS: 'required' } });
  key = await makeKey(world.db1, 'export');
});
afterAll(() => world.stop());

test('the document describes where and how to send a key', async () => {
  const document = (await (await fetch(`${world.url}/docs-json`)).json()) as OpenAPIObject;
  const { security } = document.paths['/subscriptions']!.get!;
  const scheme = document.components!.securitySchemes![Object.keys(security![0]!)[0]!];
  expect(scheme).toMatchObject({ type: 'http', scheme: 'bearer' });
  const url = new URL(`${document.servers![0]!.url}subscriptions`, `${world.url}/docs-json`);
  expect((await fetch(url)).status).toBe(401);
  expect((await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
});

// The test uses Debian's chromium: apt-get install chromium.
(existsSync(CHROMIUM) ? describe : describe.skip)('Swagger UI in Chromium', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
  });
  afterAll(() => browser.close());

  test('works with an entered key under the content security policy of the server', async () => {
    const page = await browser.newPage({ viewport: { width: 1_280, height: 900 } });
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${world.url}/docs`);
    const list = page.locator('#operations-subscriptions-listSubscriptions');
    await list.locator('.opblock-summary-control').click();
    await list.getByRole('button', { name: 'Try it out' }).click();
    const status = list.locator('.live-responses-table tbody .response-col_status');
    const execute = list.locator('button.execute');
    await execute.click();
    expect(await status.innerText()).toMatch(/^401/);

    await page.locator('.auth-wrapper .btn.authorize').first().click();
    const form = page.locator('.auth-container', { hasText: 'api_key' });
    await form.locator('input').fill(key);
    await form.getByRole('button', { name: 'Apply credentials' }).click();
    await page.locator('.close-modal').click();
    await execute.click();
    await status.filter({ hasText: /^200/ }).waitFor();
    expect(await list.locator('.live-responses-table tbody .response-col_description').first().innerText()).toContain('next_cursor');
    // A stored key could be read by any script of this origin, and would stay after the page.
    expect(await page.context().storageState()).toEqual({ cookies: [], origins: [] });
    expect(errors).toEqual([]);
    await page.close();
  });
});

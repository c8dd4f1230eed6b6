#!/usr/bin/env node
// The program `subscription-sync`: `npx subscription-sync` in the repository, and a link in the image's PATH.
import { existsSync } from 'node:fs';

const main = new URL('../../../dist/apps/cli/src/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('subscription-sync is not built here. Build it first: npm install && npm run build\n');
  process.exitCode = 1;
}

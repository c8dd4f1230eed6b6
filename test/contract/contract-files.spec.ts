import 'reflect-metadata';
import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, expect, test } from '@jest/globals';
import { contractFiles } from './contract-files.js';

let files: Record<string, string>;

beforeAll(async () => {
  files = await contractFiles();
});

test('the committed documents match the code', () => {
  const outdated = Object.entries(files).filter(([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text);
  const message = outdated.map(([path]) => `${path} is not up to date: run \`npm run contract\` and commit what it writes`);
  expect(message).toEqual([]);
});

test('generating the documents twice gives the same text', async () => {
  expect(await contractFiles()).toEqual(files);
});

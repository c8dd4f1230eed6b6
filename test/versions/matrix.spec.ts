import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { COMBINATIONS, SHORT } from './matrix.js';
import { versionsOf } from './report.js';

test('every spec of a combination exists', () => {
  const specs = [...COMBINATIONS, SHORT].flatMap((combination) => combination.specs);
  expect(specs.filter((spec) => !existsSync(spec))).toEqual([]);
});

test('docs/versions.md has the result of every combination with its versions', () => {
  const lines = readFileSync('docs/versions.md', 'utf8').split('\n');
  const missing = COMBINATIONS.filter((combination) => {
    const [db1, db2, kafka, node] = versionsOf(combination);
    // Any Node may run those that do not name one.
    const cells = [combination.name, db1, db2, kafka, ...(combination.node === undefined ? [] : [node])];
    return !lines.some((line) => line.startsWith(`| ${cells.join(' | ')} |`));
  });
  expect(missing.map(({ name }) => name)).toEqual([]);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readTransitions } from './read-transitions.js';

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'transitions-'));
  file = join(folder, 'transitions.json');
});
afterAll(() => rmSync(folder, { recursive: true }));

function read(text: string): { readonly problems: readonly string[]; readonly transitions: unknown } {
  writeFileSync(file, text);
  const problems: string[] = [];
  const found = readTransitions('SETTING', file, problems);
  return { problems, transitions: found?.transitions };
}

test('a list that is absent is empty', () => {
  expect(read('{"trial": {"next": ["paid"]}, "paid": {}, "gone": {"next": [], "reactivated": ["paid", "trial"]}}')).toEqual({
    problems: [],
    transitions: {
      trial: { next: ['paid'], reactivated: [] },
      paid: { next: [], reactivated: [] },
      gone: { next: [], reactivated: ['paid', 'trial'] },
    },
  });
});

describe('a problem is told in one line that names the file', () => {
  test.each([
    ['', 'is not valid JSON ('],
    ['{"trial": {}', 'is not valid JSON ('],
    ['[]', 'must have an object with an entry for each status, such as {'],
    ['{}', 'must have an object with an entry for each status, such as {'],
    ['{"trial": ["paid"]}', 'must have an object as the entry of "trial"'],
    ['{"trial": {"nxt": []}}', 'has "nxt" in the entry of "trial", which may have next and reactivated only. Correct the name'],
    ['{"trial": {"next": "paid"}}', 'must have a list of statuses as next of "trial"'],
    ['{"trial": {"reactivated": [1]}}', 'must have a list of statuses as reactivated of "trial"'],
    [
      '{"trial": {"next": ["trial", "paid"]}}',
      'names "paid" in next of "trial" without an entry of its own. Correct the name, or add an entry',
    ],
  ])('%s', (text, expected) => {
    const { problems, transitions } = read(text);
    expect(problems).toEqual([expect.stringContaining(expected)]);
    expect(problems[0]).toMatch(`SETTING: ${file} `);
    expect(problems[0]).not.toContain('\n');
    expect(transitions).toBeUndefined();
  });

  test('also of a file that is not there, or is a folder', () => {
    for (const [path, why] of [
      [join(folder, 'other.json'), 'ENOENT'],
      [folder, 'EISDIR'],
    ] as const) {
      const problems: string[] = [];
      expect(readTransitions('SETTING', path, problems)).toBeUndefined();
      expect(problems).toEqual([
        expect.stringMatching(`^SETTING: ${path} cannot be read \\(${why}.*Correct the path, or make the file readable$`),
      ]);
    }
  });

  test('and all problems at once', () => {
    expect(read('{"trial": {"next": ["a", "b"]}, "paid": 1}').problems).toEqual([
      `SETTING: ${file} names "a" in next of "trial" without an entry of its own. Correct the name, or add an entry`,
      `SETTING: ${file} names "b" in next of "trial" without an entry of its own. Correct the name, or add an entry`,
      `SETTING: ${file} must have an object as the entry of "paid", such as {"next": [], "reactivated": []}`,
    ]);
  });
});

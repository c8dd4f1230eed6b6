import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PERMITTED_TREE, VIOLATIONS, type Tree } from './violations.js';

interface Report {
  readonly summary: {
    readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[];
    readonly totalDependenciesCruised: number;
    readonly ruleSetUsed: { readonly forbidden: readonly { readonly name: string }[] };
  };
}

const PROJECT = resolve(import.meta.dirname, '../..');

/** Runs dependency-cruiser as `npm run boundaries` does, with the project's own rules, on a tree in a temporary folder. */
async function cruise(root: string): Promise<Report> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      join(PROJECT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'),
      ...['--config', join(PROJECT, '.dependency-cruiser.cjs'), '--output-type', 'json', '{apps,libs,test,bench}/**/*.ts'],
    ],
    { cwd: root, maxBuffer: 64 * 1024 * 1024 },
  );
  return JSON.parse(stdout) as Report;
}

async function plant(root: string, tree: Tree): Promise<void> {
  for (const [path, source] of Object.entries(tree)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), source);
  }
}

describe('The boundary rules', () => {
  let root: string;
  let permitted: Report;
  let violated: Report;

  beforeAll(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'boundaries-')));
    await copyFile(join(PROJECT, 'package.json'), join(root, 'package.json'));
    await copyFile(join(PROJECT, 'tsconfig.json'), join(root, 'tsconfig.json'));
    await plant(root, PERMITTED_TREE);
    permitted = await cruise(root);
    for (const { file, source, beside } of VIOLATIONS) await plant(root, { [file]: source, ...beside });
    violated = await cruise(root);
  });

  afterAll(() => rm(root, { recursive: true, force: true }));

  it('report nothing for a tree that uses every permission', () => {
    expect(permitted.summary.violations).toEqual([]);
    expect(permitted.summary.totalDependenciesCruised).toBeGreaterThan(Object.keys(PERMITTED_TREE).length);
  });

  it('each have a deliberate violation here', () => {
    const rules = violated.summary.ruleSetUsed.forbidden.map((rule) => rule.name);
    expect([...new Set(VIOLATIONS.map(({ rule }) => rule))].sort()).toEqual([...rules].sort());
  });

  it.each(VIOLATIONS)('$rule is the one to report $file', ({ rule, file }) => {
    expect(violated.summary.violations.filter(({ from }) => from === file).map((violation) => violation.rule.name)).toEqual([rule]);
  });
});

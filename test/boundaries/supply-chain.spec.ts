import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const PROJECT = resolve(import.meta.dirname, '../..');

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script of .ci in a folder. */
function run(script: string, cwd: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Result> {
  return new Promise((done) => {
    const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [join(PROJECT, '.ci', script), ...args], options, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

let root: string;
let trees = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'supply-chain-'));
});
afterAll(() => rm(root, { recursive: true }));

async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  trees += 1;
  const path = join(root, String(trees));
  await mkdir(path);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text, { mode: 0o755 });
  }
  return path;
}

const GOOD = { version: '1.0.0', license: 'MIT', integrity: 'sha512-x' };
const DIGEST = `@sha256:${'0'.repeat(64)}`;

/** Checks a project with one package, whose entry in the lock file is that of a good package except for `entry`. */
async function problemsOf(entry: object, name = 'thing', files: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const lock = { packages: { '': {}, [`node_modules/${name}`]: { ...GOOD, ...entry } } };
  const path = await folder({
    'package.json': JSON.stringify({ allowScripts: { allowed: true } }),
    'package-lock.json': JSON.stringify(lock),
    ...files,
  });
  const { code, stderr } = await run('supply-chain.mjs', path);
  const problems = stderr.split('\n').filter((line) => line !== '');
  expect(code).toBe(problems.length > 0 ? 1 : 0);
  return problems;
}

describe('The check of the supply chain', () => {
  it('finds nothing in this project, which a release may lack nothing but digests that are not known', async () => {
    expect(await run('supply-chain.mjs', PROJECT)).toMatchObject({ code: 0, stderr: '' });
    const { stderr } = await run('supply-chain.mjs', PROJECT, ['--release']);
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('The image '))).toEqual([]);
  });

  it.each([
    ['a licence that is not listed', { license: 'GPL-3.0-only' }, 'thing@1.0.0 has the licence GPL-3.0-only'],
    ['a package without a licence', { license: undefined }, 'thing@1.0.0 has the licence none'],
    ['a licence of which one half is not listed', { license: 'MIT AND SSPL-1.0' }, 'thing@1.0.0 has the licence MIT AND SSPL-1.0'],
    ['a script that runs at the installation', { hasInstallScript: true }, 'thing@1.0.0 runs a script when it is installed'],
    ['such a script of an optional package', { hasInstallScript: true, optional: true }, 'thing@1.0.0 runs a script'],
    ['a package that is not wanted', { name: '@scarf/scarf' }, '@scarf/scarf@1.0.0 must not be in production'],
    ['a package whose content is not fixed', { integrity: undefined }, 'thing@1.0.0 has no SHA-512'],
  ])('reports %s', async (_title, entry, problem) => {
    expect(await problemsOf(entry)).toEqual([expect.stringContaining(problem)]);
  });

  it.each([
    ['a licence that may be chosen', { license: '(GPL-2.0 OR MIT)' }, 'thing'],
    ['an optional package whose script package.json allows', { hasInstallScript: true, optional: true }, 'allowed'],
    ['a package in the place of one that is not wanted', { name: 'xtend' }, '@scarf/scarf'],
    ['a package of development', { license: 'GPL-3.0-only', hasInstallScript: true, dev: true }, 'thing'],
  ])('does not report %s', async (_title, entry, name) => {
    expect(await problemsOf(entry, name)).toEqual([]);
  });

  it('reports images without a digest, in the Dockerfile and the compose file', async () => {
    const problems = await problemsOf({}, 'thing', {
      'docker/Dockerfile': `FROM node:24 AS build\nFROM --platform=linux/amd64 node:22${DIGEST}\nFROM build\n`,
      'docker/compose.yaml': `services: { a: { image: 'postgres:18' }, b: { image: 'redis:7${DIGEST}' }, c: { build: . } }`,
    });
    expect(problems).toEqual(['node:24', 'postgres:18'].map((image) => expect.stringContaining(`The image ${image} is not named by`)));
  });

  it('reports committed files that are not texts', async () => {
    const path = await folder({
      'package.json': '{}',
      'package-lock.json': '{"packages":{}}',
      'thing.whl': 'PK\u0000',
      'thing.md': '# Thing',
    });
    const git = promisify(execFile);
    await git('git', ['init', '--quiet'], { cwd: path });
    await git('git', ['add', '.'], { cwd: path });
    expect(await run('supply-chain.mjs', path)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^thing\.whl is not a text: .*\n$/),
    });
  });
});

describe('The bill of materials', () => {
  it('has each package of production, also one that development needs too, and no other', async () => {
    const { code, stdout } = await run('sbom.mjs', PROJECT);
    const lock = JSON.parse(await readFile(join(PROJECT, 'package-lock.json'), 'utf8')) as { packages: Record<string, Entry> };
    const expected = Object.entries(lock.packages).flatMap(([path, { dev, name, version }]) =>
      path === '' || dev ? [] : [`${name ?? path.split('node_modules/').at(-1)}@${version}`],
    );
    const bom = JSON.parse(stdout) as { bomFormat: string; components: { 'bom-ref': string }[] };
    expect([code, bom.bomFormat]).toEqual([0, 'CycloneDX']);
    expect(new Set(bom.components.map((component) => component['bom-ref']))).toEqual(new Set(expected));
    expect(expected).toContainEqual(expect.stringMatching(/^rxjs@/));
  });
});

interface Entry {
  readonly dev?: boolean;
  readonly name?: string;
  readonly version: string;
}

describe('The check for known vulnerabilities', () => {
  /** Runs it with an npm that gives this answer. */
  async function audited(answer: string, exitCode: number): Promise<Result> {
    const path = await folder({ npm: `#!/bin/sh\ncat <<'END'\n${answer}\nEND\nexit ${exitCode}\n` });
    return run('audit.mjs', path, [], { PATH: `${path}${delimiter}${process.env['PATH']}` });
  }
  const vulnerable = (severity: string): string =>
    JSON.stringify({
      vulnerabilities: {
        thing: { name: 'thing', severity, range: '<2.0.0', via: [{ title: 'Takes it all', url: 'https://example.com/1' }, 'other'] },
      },
    });

  it.each(['high', 'critical'])('fails for one of severity %s, and names it', async (severity) => {
    expect(await audited(vulnerable(severity), 1)).toMatchObject({
      code: 1,
      stderr: `thing <2.0.0 (${severity}): Takes it all https://example.com/1, other\n`,
    });
  });

  it('only counts those of less severity', async () => {
    expect(await audited(vulnerable('moderate'), 1)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('production: 1, of which high or critical: 0'),
    });
    expect(await audited('{"vulnerabilities":{}}', 0)).toMatchObject({ code: 0, stdout: expect.stringContaining('production: 0') });
  });

  it.each([
    ['{"message":"405 Method Not Allowed","error":{}}', '405 Method Not Allowed'],
    ['', 'no reason given'],
  ])('says so, and does not fail, when the registry answers %j', async (answer, reason) => {
    expect(await audited(answer, 1)).toMatchObject({
      code: 0,
      stdout: `NOT CHECKED for vulnerabilities: the registry did not answer (${reason})\n`,
    });
  });
});

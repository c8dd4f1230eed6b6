import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from '@jest/globals';
import { callCli } from '../harness/command-line.js';

const run = promisify(execFile);
const BIN = 'apps/cli/bin/subscription-sync.mjs';
const documentation = readFileSync('docs/operating/command-line.md', 'utf8');

/** Options by command, such as `keys create`. */
let commands: ReadonlyMap<string, readonly string[]>;

beforeAll(async () => {
  commands = await readCommands();
});

/** Reads the commands from the completion of fish, which has a line for each option and each sub-command. */
async function readCommands(): Promise<Map<string, string[]>> {
  const { stdout } = await callCli(['completion', 'fish'], {});
  const options = new Map<string, string[]>();
  const groups = new Set<string>();
  for (const [, path, sub, option] of stdout.matchAll(/_at\) = "([^"]*)"' (?:-a (\S+)|-l (\S+))/g)) {
    const command = path!.slice(1).replaceAll('/', ' ');
    if (sub !== undefined) groups.add(command);
    else options.set(command, [...(options.get(command) ?? []), ...(option === 'help' ? [] : [`--${option}`])]);
  }
  for (const group of groups) options.delete(group);
  return options;
}

test('the document has a row for each command, with each of its options', () => {
  const rows = [...documentation.matchAll(/^\| `([a-z][a-z -]*)` \|(.*)$/gm)].map(([, command, rest]) => [command!, rest!] as const);
  const ownOptions = (options: readonly string[]): string[] => options.filter((option) => option !== '--json').sort();
  const documented = rows.map(([command, rest]) => [command, ownOptions([...rest.matchAll(/`(--[a-z-]+)/g)].map(([, option]) => option!))]);
  const existing = [...commands].map(([command, options]) => [command, ownOptions(options)]);
  expect(existing.length).toBeGreaterThan(20);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(existing));
});

test('every command but completion has --json', () => {
  const without = [...commands].filter(([, options]) => !options.includes('--json')).map(([command]) => command);
  expect(without).toEqual(['completion']);
});

test.each([
  [['keys', 'cr'], 'create'],
  [['dead-letters', 'list', '--st'], '--state'],
  [['dead-letters', 'list', '--state', 'op'], 'open'],
  [['tail', '--operation', 'de'], 'deleted'],
  [['keys', 'create', '--name', ''], ''],
])('bash completes %j', async (words, completed) => {
  const { stdout: script } = await callCli(['completion', 'bash'], {});
  const line = `COMP_WORDS=(subscription-sync ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}`;
  const { stdout } = await run('bash', ['-c', `${script}\n${line}; _subscription_sync; echo "\${COMPREPLY[*]}"`]);
  expect(stdout.trim()).toBe(completed);
});

test('completion names the shells that it knows', async () => {
  expect(await callCli(['completion', 'csh'], {})).toMatchObject({ code: 2, stderr: 'Name the shell: bash, zsh, fish\n' });
});

test('the program says that it is not built', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'not-built-'));
  const copy = join(folder, BIN);
  mkdirSync(dirname(copy), { recursive: true });
  copyFileSync(BIN, copy);
  await expect(run(process.execPath, [copy])).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('npm run build') });
  rmSync(folder, { recursive: true });
});

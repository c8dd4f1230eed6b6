import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from '../../apps/standalone/src/child-process.js';
import { World } from '../harness/world.js';
import { commandsOf, type DocCommand } from './doc-commands.js';

let world: World;
let folder: string;

beforeAll(async () => {
  world = await World.started();
  // The pages use version 42 as an example of an earlier version.
  await world.db1.query(`SELECT setval('subscription_sync.version', 100)`);
  folder = mkdtempSync(join(tmpdir(), 'doc-commands-'));
  writeFileSync(join(folder, 'subscriptions.ndjson'), '{"email":"bulk1@example.com","status":"active"}\n');
  writeFileSync(join(folder, 'subscriptions.csv'), 'email,status\nbulk2@example.com,active\n');
  copyFileSync('test/api/import-export/files/stripe.csv', join(folder, 'stripe.csv'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await world.close();
});

/** Runs the commands in one shell. Its curl is the real one, which also records the head of each response. */
async function paste(commands: readonly DocCommand[]): Promise<string[]> {
  const lines = commands.map(({ command }, i) => `${command.replaceAll('http://127.0.0.1:3000', world.url)}\ncp head ${i}.head`);
  const script = `set -e\ncd '${folder}'\ncurl() { command curl --silent --show-error --dump-header head "$@"; }\n${lines.join('\n')}\n`;
  const { code, lines: printed } = await runCommand('sh', ['-c', script]);
  if (code !== 0) throw new Error(`The shell ended with ${code}: ${printed.slice(-20).join('\n')}`);
  return commands.map((_, i) => readFileSync(join(folder, `${i}.head`), 'latin1'));
}

// The order matters: a page uses resources that the previous pages created.
test.each(['docs/api/overview.md', 'docs/api/replication-status.md', 'docs/api/import-export.md'])(
  'the commands of %s get the documented responses',
  async (page) => {
    const commands = commandsOf(readFileSync(page, 'utf8'));
    expect(commands.length).toBeGreaterThan(2);
    const heads = await paste(commands);
    const answered = heads.map((head, i) => ({
      command: commands[i]!.command,
      // The last status line counts: an upload first gets a 100 (Continue).
      status: Number([...head.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].at(-1)![1]),
      headers: commands[i]!.headers.filter((name) => head.toLowerCase().includes(`\n${name.toLowerCase()}: `)),
    }));
    expect(answered).toEqual(commands);
  },
);

test('a command with a missing or different response is reported', () => {
  const page =
    'Text\n```sh\ncurl -X PUT http://a \\\n  -d 1    # 200, ETag; 201 where it was not\ncurl http://b\n```\n```sh\nnpm start\n```\n';
  expect(commandsOf(page)).toEqual([
    { command: 'curl -X PUT http://a -d 1', status: 200, headers: ['ETag'] },
    { command: 'curl http://b', status: undefined, headers: [] },
  ]);
});

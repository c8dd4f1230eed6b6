import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { temporaryFolder } from '../../../test/harness/temporary-folder.js';
import { type Environment, Reader, readEnvironment } from './environment.js';

const folder = temporaryFolder('subscription-sync-secrets-');
const file = join(folder, 'password');
afterAll(() => rmSync(folder, { recursive: true }));

test('a secret is read from its file each time, without the line break at its end', () => {
  writeFileSync(file, ' pass word \r\n');
  const secret = new Reader({ DB1_PASSWORD_FILE: file }).secret('DB1_PASSWORD') as () => string;
  expect(secret()).toBe(' pass word ');
  writeFileSync(file, 'rotated');
  expect(secret()).toBe('rotated');
  writeFileSync(file, '\n');
  expect(secret).toThrow(`DB1_PASSWORD_FILE: the file ${file} is empty`);
});

test("AWS's variables of the file are added to the environment of the process, which AWS's SDK reads, and replace none there", () => {
  const env = join(folder, 'env');
  const names = ['AWS_TEST_OWN', 'AWS_TEST_OTHER', 'KAFKA_TEST'];
  writeFileSync(env, names.map((name) => `${name}=file\n`).join(''));
  process.env['AWS_TEST_OWN'] = 'process';
  const read = readEnvironment(env);
  const [after, environment] = [process.env, read].map((from) => names.map((name) => from[name]));
  for (const name of names) Reflect.deleteProperty(process.env, name);
  expect([after, environment]).toEqual([
    ['process', 'file', undefined],
    ['process', 'file', 'file'],
  ]);
});

test.each<[string, Environment, string]>([
  ['in no variable', {}, 'DB1_PASSWORD is required (it may be empty), or DB1_PASSWORD_FILE with the file that has it'],
  [
    'in both variables',
    { DB1_PASSWORD: 'secret', DB1_PASSWORD_FILE: 'package.json' },
    'DB1_PASSWORD and DB1_PASSWORD_FILE are both set. Set one of them',
  ],
  ['in a file that is not there', { DB1_PASSWORD_FILE: '/nowhere' }, 'DB1_PASSWORD_FILE: the file /nowhere cannot be read: ENOENT'],
])('a secret %s is a problem', (_, environment, problem) => {
  const read = new Reader(environment);
  read.secret('DB1_PASSWORD');
  expect(read.problems).toEqual([problem]);
});
